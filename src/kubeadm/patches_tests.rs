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
    assert_eq!(found.files[0].name, "kube-apiserver-holdfast+json.json");
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
    let found = of(
        Component::ApiServer,
        &volume("audit", "/var/log/audit"),
        Some(&v4),
    );
    assert_eq!(found, Patches::default());
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
            &[flag("enable-admission-plugins", "AlwaysPullImages")],
            ""
        ),
        "kubeadm writes --enable-admission-plugins of kube-apiserver itself, and not as AlwaysPullImages: put it into \
         apiServer.extraArgs of kubeadm-config, no patch is made"
    );
}

#[test]
fn plug_ins_beyond_kubeadms_own_are_added_by_one_more_occurrence() {
    let edits = [flag(
        "enable-admission-plugins",
        "NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
    )];
    let found = of(Component::ApiServer, &edits, Some(CONFIGURATION));
    assert_eq!(found.remarks, [""; 0]);
    let [patch] = found.files.as_slice() else {
        panic!("{:?}", found.files)
    };
    assert!(
        patch
            .text
            .contains("\"--enable-admission-plugins=DenyServiceExternalIPs,EventRateLimit\""),
        "{}",
        patch.text
    );
}

/// A volume of the node, mounted at its own path.
fn volume(name: &str, path: &str) -> [Edit; 2] {
    [
        Edit::AddVolume {
            name: name.to_owned(),
            path: path.parse().unwrap(),
            kind: String::new(),
        },
        Edit::AddMount {
            volume: name.to_owned(),
            path: path.parse().unwrap(),
            read_only: true,
        },
    ]
}

#[test]
fn the_certificates_of_other_distributions_are_kubeadms_own() {
    for (name, path) in [
        ("etc-pki-ca-trust", "/etc/pki/ca-trust"),
        ("etc-pki-tls-certs", "/etc/pki/tls/certs"),
        ("etcd-certs-0", "/etc/etcd"),
    ] {
        let found = of(Component::ApiServer, &volume(name, path), Some(CONFIGURATION));
        assert_eq!(found, Patches::default(), "{name}");
    }
}

#[test]
fn what_is_only_called_like_kubeadms_own_is_ours() {
    assert!(is_own_volume("etcd-certs") && is_own_volume("etcd-certs-12"));
    assert!(!is_own_volume("etcd-certs-backup") && !is_own_volume("etcd-certs2"));
}

#[test]
fn a_volume_that_kubeadm_would_make_otherwise_is_told_and_not_made_twice() {
    let configuration = format!(
        "{CONFIGURATION}apiServer:\n  extraVolumes:\n  - {{name: audit, hostPath: /var/log/k8s, mountPath: /var/log/k8s}}\n  - {{name: theirs, hostPath: \
         /srv/x, mountPath: /srv/x/}}\n"
    );
    for (name, path) in [("audit", "/var/log/audit"), ("ours", "/srv/x")] {
        let found = of(Component::ApiServer, &volume(name, path), Some(&configuration));
        assert_eq!((found.files.len(), found.remarks.len()), (0, 1), "{found:?}");
    }
}

#[test]
fn what_the_kubelet_would_expand_is_escaped_as_in_the_manifest() {
    let edits = [flag("v", "$(X)")];
    let text = edit(manifest_text(Component::Scheduler), Component::Scheduler, &edits).unwrap();
    let written = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("- --v="))
        .unwrap();
    let found = of(Component::Scheduler, &edits, Some(CONFIGURATION));
    assert_ne!(written, "$(X)");
    assert!(
        found.files[0].text.contains(&format!("--v={written}")),
        "{found:?}"
    );
}

#[test]
fn the_kubelets_patch_has_what_is_judged_and_other_differences_are_told() {
    let cluster = json!({ "kind": "KubeletConfiguration", "podPidsLimit": 1, "maxPods": 90, "gone": true,
                          "protectKernelDefaults": true, "authentication": { "x": { "enabled": true } }, "same": { "x": [1] } });
    let node = json!({ "kind": "KubeletConfiguration", "podPidsLimit": 2, "maxPods": 110, "seccompDefault": true,
                       "authentication": { "x": { "enabled": false } }, "same": { "x": [1] }, "resolvConf": "/x" });
    let made = kubelet_patch(&cluster, &node);
    let text: Json = serde_json::from_str(&made.files[0].text).unwrap();
    assert_eq!(
        text,
        json!({ "podPidsLimit": 2, "seccompDefault": true, "authentication": { "x": { "enabled": false } } })
    );
    assert_eq!(made.files[0].name, "kubeletconfiguration-holdfast+merge.json");
    let told: Vec<&str> = made
        .remarks
        .iter()
        .filter_map(|remark| remark.split(' ').nth(2))
        .collect();
    assert_eq!(told, ["gone", "maxPods", "protectKernelDefaults"]);
    assert_eq!(kubelet_patch(&node, &node), Patches::default());
    let less = json!({ "authentication": {} });
    assert_eq!(
        kubelet_patch(&cluster, &less).files,
        [],
        "a merge would leave what is there"
    );
}
