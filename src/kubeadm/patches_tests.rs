use super::*;
use crate::manifest::{Edit, edit, parse};
use crate::plan::fixtures::manifest_text;

const CONFIGURATION: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

fn pod(component: Component, edits: &[Edit]) -> StaticPod {
    let text = edit(manifest_text(component), component, edits).unwrap();
    parse(text.as_bytes()).unwrap()
}

fn flag(name: &str, value: &str) -> Edit {
    Edit::SetFlag {
        name: name.parse().unwrap(),
        value: value.to_owned(),
    }
}

fn of(component: Component, edits: &[Edit], configuration: Option<&str>) -> Patches {
    patches(&[(component, &pod(component, edits))], configuration).unwrap()
}

fn operations(patches: &Patches) -> Json {
    let [one] = patches.files.as_slice() else {
        panic!("{patches:?}")
    };
    serde_json::from_str(&one.text).unwrap()
}

#[test]
fn what_kubeadm_makes_needs_no_patch() {
    for component in Component::ALL {
        let text = manifest_text(component);
        let pod = parse(text.as_bytes()).unwrap();
        for configuration in [None, Some(CONFIGURATION)] {
            let found = patches(&[(component, &pod)], configuration).unwrap();
            assert_eq!(found, Patches::default(), "{component}");
        }
    }
}

#[test]
fn a_flag_and_a_volume_of_ours_are_appended_under_kubeadms_name_of_the_component() {
    let edits = [
        flag("profiling", "false"),
        Edit::AddVolume {
            name: "audit".to_owned(),
            path: "/var/log/audit".parse().unwrap(),
            kind: "Directory".to_owned(),
        },
        Edit::AddMount {
            volume: "audit".to_owned(),
            path: "/var/log/audit".parse().unwrap(),
            read_only: true,
        },
    ];
    let found = of(Component::ApiServer, &edits, Some(CONFIGURATION));
    assert_eq!(found.remarks, Vec::<String>::new());
    assert_eq!(found.files[0].name, "kube-apiserver0+json.json");
    assert_eq!(
        operations(&found),
        json!([
            { "op": "add", "path": "/spec/containers/0/command/-", "value": "--profiling=false" },
            { "op": "add", "path": "/spec/volumes/-", "value": { "name": "audit", "hostPath": { "path": "/var/log/audit", "type": "Directory" } } },
            { "op": "add", "path": "/spec/containers/0/volumeMounts/-", "value": { "name": "audit", "mountPath": "/var/log/audit", "readOnly": true } },
        ])
    );
}

#[test]
fn what_kubeadm_config_has_already_is_left_out_in_both_of_its_forms() {
    let v4 = format!(
        "{CONFIGURATION}scheduler:\n  extraArgs:\n  - {{name: profiling, value: \"false\"}}\napiServer:\n  extraVolumes:\n  - {{name: audit, hostPath: \
         /var/log/audit, mountPath: /var/log/audit}}\n"
    );
    let v3 = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nscheduler:\n  extraArgs:\n    profiling: \"false\"\n";
    for configuration in [v4.as_str(), v3] {
        let found = of(
            Component::Scheduler,
            &[flag("profiling", "false")],
            Some(configuration),
        );
        assert_eq!(found, Patches::default());
    }
    let volume = Edit::AddVolume {
        name: "audit".to_owned(),
        path: "/var/log/audit".parse().unwrap(),
        kind: String::new(),
    };
    assert_eq!(of(Component::ApiServer, &[volume], Some(&v4)), Patches::default());
}

#[test]
fn where_kubeadm_would_write_another_value_or_one_more_that_is_said_and_no_patch_is_made() {
    let told = |component, edits: &[Edit], more: &str| {
        let found = of(component, edits, Some(&format!("{CONFIGURATION}{more}")));
        assert_eq!(found.files, []);
        found.remarks.join("\n")
    };
    let args = "etcd:\n  local:\n    extraArgs:\n    - {name: auto-tls, value: \"true\"}\n";
    assert_eq!(
        told(Component::Etcd, &[flag("auto-tls", "false")], args),
        "kubeadm-config gives etcd --auto-tls=true, and this node runs with --auto-tls=false: change it there, no patch is made"
    );
    assert_eq!(
        told(Component::Etcd, &[], args),
        "kubeadm-config gives etcd --auto-tls, which this node does not run with"
    );
    assert_eq!(
        told(
            Component::ApiServer,
            &[flag(
                "enable-admission-plugins",
                "NodeRestriction,AlwaysPullImages"
            )],
            ""
        ),
        "kubeadm writes --enable-admission-plugins of kube-apiserver itself, and not as NodeRestriction,AlwaysPullImages: put it into \
         apiServer.extraArgs of kubeadm-config, no patch is made"
    );
}

#[test]
fn the_kubelets_patch_has_what_differs_and_takes_out_what_the_node_has_not() {
    let cluster = json!({ "kind": "KubeletConfiguration", "a": 1, "gone": true, "same": { "x": [1] } });
    let node = json!({ "kind": "KubeletConfiguration", "a": 2, "new": "y", "same": { "x": [1] } });
    let patch = kubelet_patch(&cluster, &node).unwrap();
    let text: Json = serde_json::from_str(&patch.text).unwrap();
    assert_eq!(text, json!({ "a": 2, "new": "y", "gone": null }));
    assert_eq!(kubelet_patch(&node, &node), None);
}
