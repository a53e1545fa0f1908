use super::*;

/// As kubeadm 1.35 writes it.
const V1BETA4: &str = "\
apiServer:
  certSANs:
  - 127.0.0.1
  - '*.example.org'
  extraArgs:
  - name: authorization-mode
    value: Node,RBAC
  - name: bind-address
    value: '*'
  - name: feature-gates
    value: \"\"
  - name: v
    value: \"2\"
apiVersion: kubeadm.k8s.io/v1beta4
caCertificateValidityPeriod: 87600h0m0s
certificateValidityPeriod: 8760h0m0s
certificatesDir: /etc/kubernetes/pki
clusterName: \"1.10\"
controllerManager: {}
dns: {}
encryptionAlgorithm: RSA-2048
etcd:
  local:
    dataDir: /var/lib/etcd
featureGates:
  ControlPlaneKubeletLocalMode: true
imageRepository: registry.k8s.io
kind: ClusterConfiguration
kubernetesVersion: v1.35.4
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/12
proxy: {}
scheduler:
  extraVolumes: null
";

const V1BETA3: &str = "\
apiServer:
  extraArgs:
    authorization-mode: Node,RBAC
    v: \"2\"
  timeoutForControlPlane: 4m0s
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.30.1
";

pub(super) const CONFIG_FLAG: &str = "encryption-provider-config";
pub(super) const RELOAD_FLAG: &str = "encryption-provider-config-automatic-reload";

pub(super) fn wanted() -> ApiServerExtras {
    ApiServerExtras {
        args: vec![
            (
                CONFIG_FLAG.to_owned(),
                "/etc/kubernetes/enc/config.yaml".to_owned(),
            ),
            (RELOAD_FLAG.to_owned(), "true".to_owned()),
        ],
        volumes: vec![HostPathMount {
            name: "encryption".to_owned(),
            host_path: "/etc/kubernetes/enc".to_owned(),
            mount_path: "/etc/kubernetes/enc".to_owned(),
            read_only: true,
            path_type: "Directory".to_owned(),
        }],
    }
}

fn of(api_server: &str) -> String {
    format!(
        "{api_server}apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.35.4\n"
    )
}

/// The edited text, and that it is in line then.
fn edited_text(before: &str) -> String {
    let after = brought_in_line(before, &wanted())
        .unwrap()
        .expect("it was not in line");
    assert_eq!(brought_in_line(&after, &wanted()), Ok(None), "{after}");
    assert_eq!(lacks(&after, &wanted()), Ok(Vec::new()), "{after}");
    after
}

const IN_LINE: &str = "\
apiServer:
  extraArgs:
  - name: encryption-provider-config
    value: /etc/kubernetes/enc/config.yaml
  - name: encryption-provider-config-automatic-reload
    value: \"true\"
  extraVolumes:
  - hostPath: /etc/kubernetes/enc
    mountPath: /etc/kubernetes/enc
    name: encryption
    pathType: Directory
    readOnly: true
";

#[test]
fn kubeadms_own_text_differs_in_the_wanted_lines_only() {
    let after = edited_text(V1BETA4);
    let diff = difference(V1BETA4, &after);
    assert_eq!(
        diff,
        "\
--- a/kube-system/kubeadm-config/ClusterConfiguration
+++ b/kube-system/kubeadm-config/ClusterConfiguration
@@ -11,6 +11,16 @@
     value: \"\"
   - name: v
     value: \"2\"
+  - name: encryption-provider-config
+    value: /etc/kubernetes/enc/config.yaml
+  - name: encryption-provider-config-automatic-reload
+    value: \"true\"
+  extraVolumes:
+  - hostPath: /etc/kubernetes/enc
+    mountPath: /etc/kubernetes/enc
+    name: encryption
+    pathType: Directory
+    readOnly: true
 apiVersion: kubeadm.k8s.io/v1beta4
 caCertificateValidityPeriod: 87600h0m0s
 certificateValidityPeriod: 8760h0m0s
"
    );
    assert_eq!(difference(&after, &after), "");
}

#[test]
fn v1beta3_has_its_flags_in_a_map() {
    let expected = V1BETA3
        .replace(
            "    v: \"2\"\n",
            "    encryption-provider-config: /etc/kubernetes/enc/config.yaml\n    encryption-provider-config-automatic-reload: \"true\"\n    v: \"2\"\n  extraVolumes:\n  - hostPath: /etc/kubernetes/enc\n    mountPath: /etc/kubernetes/enc\n    name: encryption\n    pathType: Directory\n    readOnly: true\n",
        );
    assert_eq!(edited_text(V1BETA3), expected);
    let other = expected.replace("config: /etc/kubernetes/enc/config.yaml", "config: 7");
    assert_eq!(
        lacks(&other, &wanted()).unwrap(),
        [
            "the flag --encryption-provider-config=/etc/kubernetes/enc/config.yaml (it has --encryption-provider-config with a value that is no text)"
        ]
    );
    assert_eq!(edited_text(&other), expected);
    // The API server takes both for one flag.
    let twice = expected.replace(
        "    v: \"2\"\n",
        "    encryption_provider_config: /x\n    v: \"2\"\n",
    );
    assert_eq!(edited_text(&twice), expected);
}

#[test]
fn what_is_not_there_or_null_or_empty_is_made() {
    for api_server in [
        "",
        "apiServer:\n",
        "apiServer: {}\n",
        "apiServer:\n  extraArgs:\n  extraVolumes: null\n",
        "apiServer: {extraArgs: [], extraVolumes: []}\n",
    ] {
        assert_eq!(edited_text(&of(api_server)), of(IN_LINE), "{api_server}");
    }
}

#[test]
fn what_is_in_line_is_not_written() {
    // In another form than kubeadm's, with more beside it.
    let flow = "apiServer: {extraVolumes: [{name: encryption, mountPath: /etc/kubernetes/enc, hostPath: /etc/kubernetes/enc, readOnly: yes, pathType: Directory}], extraArgs: [{value: 'true', name: encryption_provider_config_automatic_reload}, {name: encryption-provider-config, value: /etc/kubernetes/enc/config.yaml}]} # mine\n";
    assert_eq!(brought_in_line(&of(flow), &wanted()), Ok(None));
    assert_eq!(brought_in_line(&of(IN_LINE), &wanted()), Ok(None));
    assert_eq!(brought_in_line(&of(""), &ApiServerExtras::default()), Ok(None));
}

#[test]
fn a_flag_with_other_values_stands_once_at_its_first_place() {
    let before = IN_LINE.replace(
        "  - name: encryption-provider-config\n    value: /etc/kubernetes/enc/config.yaml\n",
        "  - name: encryption-provider-config\n    value: /old\n  - name: v\n    value: \"2\"\n  - name: encryption-provider-config\n    value: /etc/kubernetes/enc/config.yaml\n  - name: v\n    value: \"3\"\n",
    );
    let after = IN_LINE.replace(
        "    value: /etc/kubernetes/enc/config.yaml\n",
        "    value: /etc/kubernetes/enc/config.yaml\n  - name: v\n    value: \"2\"\n  - name: v\n    value: \"3\"\n",
    );
    assert_eq!(edited_text(&of(&before)), of(&after));
    assert_eq!(
        lacks(&of(&before), &wanted()).unwrap(),
        [
            "the flag --encryption-provider-config=/etc/kubernetes/enc/config.yaml (it has --encryption-provider-config=/old and --encryption-provider-config=/etc/kubernetes/enc/config.yaml)"
        ]
    );
}

#[test]
fn another_volume_of_the_name_is_replaced() {
    for (from, to) in [
        ("readOnly: true", "readOnly: false"),
        ("hostPath: /etc/kubernetes/enc", "hostPath: /tmp"),
        ("    pathType: Directory\n", ""),
        ("hostPath: /etc/kubernetes/enc", "hostPath: 7"),
    ] {
        let before = of(&IN_LINE.replace(from, to));
        assert_eq!(
            lacks(&before, &wanted()).unwrap(),
            [
                "the volume encryption, /etc/kubernetes/enc mounted at /etc/kubernetes/enc (it has another of that name)"
            ]
        );
        assert_eq!(edited_text(&before), of(IN_LINE), "{to}");
    }
}

#[test]
fn another_volume_at_the_mount_path_is_refused_and_one_above_it_is_not() {
    let with = |path: &str| {
        of(&format!(
            "apiServer:\n  extraVolumes:\n  - name: mine\n    hostPath: /mine\n    mountPath: {path}\n"
        ))
    };
    for path in ["/etc/kubernetes/enc", "/etc/kubernetes/enc/"] {
        let taken = KubeadmConfigError::MountPathTaken {
            volume: "mine".to_owned(),
            wanted: "encryption".to_owned(),
            mount_path: "/etc/kubernetes/enc".to_owned(),
        };
        assert_eq!(brought_in_line(&with(path), &wanted()), Err(taken.clone()));
        assert_eq!(lacks(&with(path), &wanted()), Err(taken));
    }
    edited_text(&with("/etc/kubernetes"));
}

#[test]
fn types_survive() {
    let before = of(
        "apiServer:\n  a: \"1.10\"\n  b: 1.10\n  c: \"yes\"\n  d: yes\n  e: 010\n  f: \"010\"\n  g: null\n  h: ~\n  i: \"null\"\n  j: \"\"\n  k: 18446744073709551615\n  l: -7\n  m: 'it''s: #1'\n  nn: \"a\\nb\\u2028\\x07\"\n  o: |\n    two\n    lines\n  p: [[1, [x]], {}, []]\n  q: <<\n  r: \"0x1f\"\n",
    );
    let after = edited_text(&before);
    let lines = "apiServer:\n  a: \"1.10\"\n  b: 1.1\n  c: \"yes\"\n  d: true\n  e: 8\n  extraArgs:\n";
    assert!(after.starts_with(lines), "{after}");
    let lines = "  f: \"010\"\n  g: null\n  h: null\n  i: \"null\"\n  j: \"\"\n  k: 18446744073709551615\n  l: -7\n  m: 'it''s: #1'\n  nn: \"a\\nb\\u2028\\u0007\"\n  o: \"two\\nlines\\n\"\n  p:\n  - - 1\n    - - x\n  - {}\n  - []\n  q: '<<'\n  r: \"0x1f\"\napiVersion:";
    assert!(after.contains(lines), "{after}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of every refusal")]
fn what_is_not_understood_is_refused_with_what_to_do() {
    let other_kind = |api_version: &str, kind: &str| KubeadmConfigError::OtherKind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    };
    let shape = |field: &str, expected| KubeadmConfigError::Shape {
        field: field.to_owned(),
        expected,
    };
    let named = "a mapping with a name that is text";
    let v1beta3 = |text: &str| of(text).replace("v1beta4", "v1beta3");
    let table = [
        (
            of("").replace("v1beta4", "v1beta2"),
            other_kind("kubeadm.k8s.io/v1beta2", "ClusterConfiguration"),
        ),
        (
            of("").replace("v1beta4", "v1"),
            other_kind("kubeadm.k8s.io/v1", "ClusterConfiguration"),
        ),
        (
            of("").replace("ClusterConf", "InitConf"),
            other_kind("kubeadm.k8s.io/v1beta4", "InitConfiguration"),
        ),
        ("a: 1\n".to_owned(), other_kind("none", "none")),
        (String::new(), KubeadmConfigError::NotAMapping),
        ("- a\n".to_owned(), KubeadmConfigError::NotAMapping),
        (
            format!("{}---\n{}", of(""), of("")),
            KubeadmConfigError::SeveralDocuments,
        ),
        (format!("\u{feff}{}", of("")), KubeadmConfigError::NotText),
        (of("a: \u{1}\n"), KubeadmConfigError::NotText),
        (
            "x".repeat((256 << 10) + 1),
            KubeadmConfigError::TooLarge((256 << 10) + 1),
        ),
        (
            of("apiServer: {}\nx: 1\nx: 2\n"),
            KubeadmConfigError::Syntax {
                position: Some((3, 1)),
                why: "the key x is given twice".to_owned(),
            },
        ),
        (
            of("apiServer:\n\ta: 1\n"),
            KubeadmConfigError::Syntax {
                position: Some((2, 1)),
                why: "a tab indents the line, which YAML does not allow".to_owned(),
            },
        ),
        (of("apiServer: []\n"), shape("apiServer", "a mapping")),
        (
            of("apiServer:\n  extraArgs: {v: '2'}\n"),
            shape("apiServer.extraArgs", "a list"),
        ),
        (
            v1beta3("apiServer:\n  extraArgs: []\n"),
            shape("apiServer.extraArgs", "a mapping"),
        ),
        (
            of("apiServer:\n  extraArgs: [{name: v, value: '2'}, v=2]\n"),
            shape("apiServer.extraArgs[1]", named),
        ),
        (
            of("apiServer:\n  extraVolumes: [{name: 7}]\n"),
            shape("apiServer.extraVolumes[0]", named),
        ),
        (
            of("featureGates: {on: true}\n"),
            KubeadmConfigError::NotWritten("a key is a word that YAML 1.1 reads as a number or a boolean"),
        ),
    ];
    for (text, error) in table {
        let refused = brought_in_line(&text, &wanted()).unwrap_err();
        assert_eq!(refused, error);
        let words = refused.to_string();
        assert!(
            words.contains("kubectl") || words.contains("kubeadm init phase"),
            "{words}"
        );
    }
}

#[test]
fn the_same_thing_wanted_twice_is_a_mistake() {
    let mut flags = wanted();
    flags
        .args
        .push(("encryption_provider_config".to_owned(), "/x".to_owned()));
    let mut volumes = wanted();
    volumes.volumes.push(HostPathMount {
        name: "other".to_owned(),
        ..wanted().volumes.remove(0)
    });
    for (wanted, what) in [(flags, CONFIG_FLAG), (volumes, "/etc/kubernetes/enc")] {
        assert_eq!(
            lacks(V1BETA4, &wanted),
            Err(KubeadmConfigError::WantedTwice(what.to_owned()))
        );
    }
}
