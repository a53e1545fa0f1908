//! Manifests as the kubelet reads them.

use super::*;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\nspec:\n  containers:\n  - name: etcd\n    command:\n    - etcd\n    - --name=a\n";

fn error(text: &str) -> (ParseErrorKind, Option<(usize, usize)>) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.kind, error.position)
}

fn command(text: &str) -> Vec<String> {
    parse(text.as_bytes())
        .unwrap_or_else(|e| panic!("{e}: {text}"))
        .containers[0]
        .command
        .clone()
}

#[test]
fn the_manifests_of_kubeadm_are_read_whole() {
    let text = include_str!("../../tests/manifests/v1.35/kube-scheduler.yaml");
    let path: NodePath = "/etc/kubernetes/scheduler.conf".parse().unwrap();
    let flag = |name: &str, value: &str| format!("--{name}={value}");
    let expected = StaticPod {
        name: "kube-scheduler".to_owned(),
        namespace: "kube-system".to_owned(),
        uid: None,
        containers: vec![Container {
            name: "kube-scheduler".to_owned(),
            image: "registry.k8s.io/kube-scheduler:v1.35.4".to_owned(),
            command: vec![
                "kube-scheduler".to_owned(),
                flag("authentication-kubeconfig", path.as_str()),
                flag("authorization-kubeconfig", path.as_str()),
                flag("bind-address", "127.0.0.1"),
                flag("kubeconfig", path.as_str()),
                flag("leader-elect", "true"),
            ],
            args: Vec::new(),
            env: Vec::new(),
            mounts: vec![Mount {
                volume: "kubeconfig".to_owned(),
                path: path.clone(),
                read_only: true,
                sub_path: None,
            }],
            health: Some(HealthEndpoint {
                scheme: Scheme::Https,
                host: "127.0.0.1".to_owned(),
                port: 10259,
                path: "/readyz".to_owned(),
            }),
            run_as_user: None,
        }],
        init_containers: 0,
        host_paths: vec![HostPathVolume {
            name: "kubeconfig".to_owned(),
            path,
            kind: "FileOrCreate".to_owned(),
        }],
        volume_names: vec!["kubeconfig".to_owned()],
        run_as_user: None,
    };
    assert_eq!(parse(text.as_bytes()), Ok(expected));
}

#[test]
fn files_that_are_no_text_say_so() {
    let whole = |kind| ParseError { kind, position: None };
    let mark = ParseError {
        kind: ParseErrorKind::ByteOrderMark,
        position: Some((1, 1)),
    };
    let binary = |position| ParseError {
        kind: ParseErrorKind::Binary,
        position,
    };
    let utf16: Vec<u8> = POD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let huge = "#".repeat(MAX_BYTES + 1);
    let table: [(&[u8], ParseError); 11] = [
        (b"", whole(ParseErrorKind::Empty)),
        (b" \n\n  \n", whole(ParseErrorKind::Empty)),
        (b"# only\n  # comments", whole(ParseErrorKind::Empty)),
        (b"---\n", whole(ParseErrorKind::Empty)),
        (b"null\n", whole(ParseErrorKind::Empty)),
        (b"kind: \0", binary(Some((1, 7)))),
        (b"\x7fELF\x02\x01", binary(Some((1, 1)))),
        (b"kind: \xff\xfe", binary(None)),
        (&[b"\xef\xbb\xbf", POD.as_bytes()].concat(), mark.clone()),
        (&[b"\xff\xfe", utf16.as_slice()].concat(), mark),
        (
            huge.as_bytes(),
            whole(ParseErrorKind::TooLarge(MAX_BYTES as u64 + 1)),
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(
            parse(bytes),
            Err(expected),
            "{:?}",
            bytes.get(..9.min(bytes.len()))
        );
    }
    assert_eq!(parse(&utf16), Err(binary(Some((1, 2)))));
    let largest = format!("{POD}#{}", "x".repeat(MAX_BYTES - POD.len() - 1));
    parse(largest.as_bytes()).unwrap();
}

#[test]
fn what_is_not_yaml_is_placed() {
    let tab = POD.replace("    - --name", "\t- --name");
    assert_eq!(error(&tab), (ParseErrorKind::Tab, Some((10, 1))));
    let open = POD.replace("--name=a", "'--name=a");
    let (kind, position) = error(&open);
    assert!(
        matches!(&kind, ParseErrorKind::Syntax(why) if why.contains("quoted scalar")),
        "{kind:?}"
    );
    assert_eq!(position, Some((10, 7)));
    let twice = format!("{POD}kind: Pod\n");
    let words = ParseErrorKind::Syntax("the key kind is given twice".to_owned());
    assert_eq!(error(&twice), (words, Some((11, 1))));
    let deep = POD.replace("    command:", "    name: b\n    command:");
    assert_eq!(error(&deep).1, Some((8, 5)));
    let (kind, position) = error("a: [b\nc: d\n");
    assert!(matches!(kind, ParseErrorKind::Syntax(_)));
    assert_eq!(position.map(|(line, _)| line), Some(2));
    let alias = POD.replace("--name=a", "*nowhere");
    assert_eq!(error(&alias).1, Some((10, 7)));
}

#[test]
fn several_documents_are_refused_and_marks_are_not() {
    let expected = command(POD);
    for text in [
        format!("---\n{POD}"),
        format!("# a\n---\n{POD}---\n"),
        format!("{POD}...\n"),
        format!("{POD}---\n# nothing\n---\n"),
        POD.replace('\n', "\r\n"),
        POD.trim_end().to_owned(),
    ] {
        assert_eq!(command(&text), expected, "{text}");
    }
    for text in [
        format!("{POD}---\n{POD}"),
        format!("{POD}---\n[\n"),
        format!("---\n---\n{POD}"),
    ] {
        assert_eq!(error(&text), (ParseErrorKind::SeveralDocuments, None), "{text}");
    }
}

#[test]
fn other_ways_to_write_the_same_are_read() {
    let expected = command(POD);
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"etcd"},
\t"spec":{"containers":[
\t\t{"name":"etcd","command":["etcd",
\t\t"--name=a"]}]}}"#
        .replace("\\t", "\t");
    assert_eq!(command(&json), expected);
    let flow = POD.replace("\n    - etcd\n    - --name=a", " [etcd, '--name=a']");
    assert_eq!(command(&flow), expected);
    let anchors = POD
        .replace("command:", "command: &words")
        .replace(
            "  containers:",
            "  initContainers: [{name: b, command: &w [etcd, --name=a]}]\n  containers:",
        )
        .replace("&words\n    - etcd\n    - --name=a", "*w");
    assert_eq!(command(&anchors), expected);
    let merged = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\nspec:\n  initContainers:\n  - &a {name: b, command: [etcd, --name=a]}\n  containers:\n  - <<: *a\n    name: etcd\n";
    assert_eq!(command(merged), expected);
    let block = POD.replace("--name=a", ">-\n      --name=a");
    assert_eq!(command(&block), expected);
    let tab_in_block = POD.replace("--name=a", "|-\n      a\n      \tb");
    assert_eq!(command(&tab_in_block)[1], "a\n\tb");
}

#[test]
fn words_that_yaml_1_1_takes_for_something_else_are_no_text() {
    for word in [
        "8080", "true", "yes", "No", "on", "OFF", "y", "010", "08", "1_000", "0b11", "0x1F", "-1", "+.5e3",
        "1e3", "~",
    ] {
        let text = POD.replace("--name=a", word);
        let (kind, position) = error(&text);
        assert!(matches!(kind, ParseErrorKind::NotAPod(_)), "{word}: {kind:?}");
        assert_eq!(position, Some((10, 7)), "{word}");
        for quoted in [
            format!("\"{word}\""),
            format!("'{word}'"),
            format!("!!str {word}"),
        ] {
            assert_eq!(command(&POD.replace("--name=a", &quoted))[1], word, "{quoted}");
        }
    }
    for word in [
        "yesno",
        "1.2.3",
        "192.0.2.1",
        "10s",
        "2001-01-01",
        "0x",
        "1:30",
        "_1",
        "y:z",
        "a010",
    ] {
        assert_eq!(command(&POD.replace("--name=a", word))[1], word);
    }
    let yes = POD.replace(
        "    command:",
        "    volumeMounts: [{name: a, mountPath: /a, readOnly: yes}]\n    command:",
    );
    assert!(parse(yes.as_bytes()).unwrap().containers[0].mounts[0].read_only);
}

#[test]
fn a_tag_of_its_own_is_not_read() {
    let (kind, _) = error(&POD.replace("kind: Pod", "kind: !x Pod"));
    assert!(matches!(kind, ParseErrorKind::Syntax(why) if why.contains("without a tag")));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn yaml_that_is_no_pod_says_what_and_where() {
    let table = [
        ("- a\n".to_owned(), "the document is no mapping", None),
        ("text\n".to_owned(), "the document is no mapping", None),
        (
            POD.replace("kind: Pod", "kind: List"),
            "its kind is List, not Pod",
            Some((2, 1)),
        ),
        (
            POD.replace("kind: Pod\n", ""),
            "its kind is not given, not Pod",
            None,
        ),
        (
            POD.replace("v1", "apps/v1"),
            "its apiVersion is apps/v1, not v1",
            Some((1, 1)),
        ),
        (
            POD.replace("v1", "1"),
            "apiVersion: invalid type: integer `1`, expected a string (put it in quotes)",
            Some((1, 13)),
        ),
        (
            POD.replace("  name: etcd\nspec", "  labels: {}\nspec"),
            "it has no metadata.name",
            Some((3, 1)),
        ),
        (
            POD.replace("  name: etcd\nspec", "  name: ''\nspec"),
            "it has no metadata.name",
            Some((3, 1)),
        ),
        (
            POD.replace("metadata:\n  name: etcd\n", ""),
            "it has no metadata.name",
            None,
        ),
        (
            POD.split("  containers").next().unwrap().to_owned(),
            "it has no spec",
            Some((5, 1)),
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n".to_owned(),
            "it has no containers",
            Some((4, 1)),
        ),
        (
            POD.replace("    - --name=a", "    - {a: b}"),
            "spec.containers[0].command[1]: invalid type: map, expected a string (put it in quotes)",
            Some((10, 7)),
        ),
        (
            POD.replace("  - name: etcd", "  - image: a"),
            "spec.containers[0]: missing field `name`",
            Some((7, 5)),
        ),
    ];
    for (text, why, position) in table {
        let (kind, at) = error(&text);
        assert_eq!(
            (kind, at),
            (ParseErrorKind::NotAPod(why.to_owned()), position),
            "{text}"
        );
    }
}
