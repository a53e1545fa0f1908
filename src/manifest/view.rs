//! The typed view of a manifest: read as the kubelet reads it, refused where that is not certain.

use std::fmt;

use serde::Deserialize;

use super::yaml::{Document, Text, document_of, position, text_of};
use crate::domain::{Container, HealthEndpoint, HostPathVolume, Mount, NodePath, Scheme, StaticPod};

/// Larger manifests are not read (the kubelet's own limit is 10 MiB; kubeadm's are 4 KiB).
pub const MAX_BYTES: usize = 256 * 1024;

/// A file that no pod can be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where, from 1; `None` when it is about the whole file.
    pub position: Option<(usize, usize)>,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Nothing but white space and comments.
    Empty,
    /// Over [`MAX_BYTES`].
    TooLarge(u64),
    /// Not UTF-8, or control characters in it.
    Binary,
    /// It begins with a byte order mark.
    ByteOrderMark,
    /// A line is indented by a tab.
    Tab,
    /// More than one YAML document.
    SeveralDocuments,
    /// Not YAML; the parser's words.
    Syntax(String),
    /// YAML, but no Pod; what is wrong.
    NotAPod(String),
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        match &self.kind {
            ParseErrorKind::Empty => f.write_str("it is empty"),
            ParseErrorKind::TooLarge(size) => {
                write!(f, "it has {size} bytes, and no manifest over {MAX_BYTES} is read; move it out if it is none")
            }
            ParseErrorKind::Binary => f.write_str("it is not text; move it out of the folder"),
            ParseErrorKind::ByteOrderMark => {
                f.write_str("it begins with a byte order mark; save it as UTF-8 without one")
            }
            ParseErrorKind::Tab => f.write_str("a tab indents the line, which YAML does not allow; use spaces"),
            ParseErrorKind::SeveralDocuments => f.write_str(
                "it holds several YAML documents, and the kubelet reads only the first; keep one pod in a file",
            ),
            ParseErrorKind::Syntax(why) => write!(f, "it is not YAML: {why}"),
            ParseErrorKind::NotAPod(why) => write!(f, "it is no Pod: {why}"),
        }
    }
}

/// The pod of a manifest.
///
/// # Errors
/// Says what is wrong and where. To the kubelet such a file is mostly like an absent one: its pod is stopped.
pub fn parse(bytes: &[u8]) -> Result<StaticPod, ParseError> {
    let text = text_of(bytes)?;
    pod_of(text, &document_of(text)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    api_version: Option<Text>,
    kind: Option<Text>,
}

#[derive(Deserialize)]
struct RawPod {
    metadata: Option<RawMetadata>,
    spec: Option<RawSpec>,
}

#[derive(Deserialize, Default)]
struct RawMetadata {
    name: Option<Text>,
    namespace: Option<Text>,
    uid: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec {
    #[serde(default)]
    containers: Option<Vec<RawContainer>>,
    #[serde(default)]
    init_containers: Option<Vec<serde_yaml::Value>>,
    #[serde(default)]
    volumes: Option<Vec<RawVolume>>,
    security_context: Option<RawSecurity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSecurity {
    run_as_user: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainer {
    name: Text,
    #[serde(default)]
    image: Option<Text>,
    #[serde(default)]
    command: Option<Vec<Text>>,
    #[serde(default)]
    args: Option<Vec<Text>>,
    #[serde(default)]
    env: Option<Vec<RawNamed>>,
    #[serde(default)]
    ports: Option<Vec<RawPort>>,
    #[serde(default)]
    volume_mounts: Option<Vec<RawMount>>,
    readiness_probe: Option<RawProbe>,
    startup_probe: Option<RawProbe>,
    liveness_probe: Option<RawProbe>,
    security_context: Option<RawSecurity>,
}

#[derive(Deserialize)]
struct RawNamed {
    name: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: Option<Text>,
    container_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMount {
    name: Text,
    mount_path: Text,
    #[serde(default)]
    read_only: Option<bool>,
    sub_path: Option<Text>,
    sub_path_expr: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVolume {
    name: Text,
    host_path: Option<RawHostPath>,
}

#[derive(Deserialize)]
struct RawHostPath {
    path: Text,
    #[serde(rename = "type")]
    kind: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProbe {
    http_get: Option<RawHttpGet>,
}

#[derive(Deserialize)]
struct RawHttpGet {
    host: Option<Text>,
    path: Option<Text>,
    port: RawPortRef,
    scheme: Option<Text>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPortRef {
    Number(u16),
    Name(Text),
}

/// The pod of a value that was made from a document.
pub(super) fn pod_of_value(value: serde_yaml::Value) -> Result<StaticPod, ParseError> {
    pod_of("", &Document::of_value(value))
}

/// The pod of a document that was read from `text`.
pub(super) fn pod_of(text: &str, document: &Document) -> Result<StaticPod, ParseError> {
    let at = |key: &str| document.keys.get(key).map(|offset| position(text, *offset));
    let not_a_pod = |why: String, position| ParseError {
        kind: ParseErrorKind::NotAPod(why),
        position,
    };
    if !document.value.is_mapping() {
        return Err(not_a_pod("the document is no mapping".to_owned(), None));
    }
    let Kind { api_version, kind } = document.typed(text).map_err(|(why, at)| not_a_pod(why, at))?;
    let [api_version, kind] = [&api_version, &kind].map(|word| word.as_ref().map(|word| word.0.as_str()));
    match (api_version, kind) {
        (Some("v1"), Some("Pod")) => {}
        (Some("v1"), other) => {
            let why = format!("its kind is {}, not Pod", other.unwrap_or("not given"));
            return Err(not_a_pod(why, at("kind")));
        }
        (other, _) => {
            let why = format!("its apiVersion is {}, not v1", other.unwrap_or("not given"));
            return Err(not_a_pod(why, at("apiVersion")));
        }
    }
    let raw: RawPod = document.typed(text).map_err(|(why, at)| not_a_pod(why, at))?;
    let metadata = raw.metadata.unwrap_or_default();
    let Some(name) = metadata.name.map(|name| name.0).filter(|name| !name.is_empty()) else {
        return Err(not_a_pod("it has no metadata.name".to_owned(), at("metadata")));
    };
    let Some(spec) = raw.spec else {
        return Err(not_a_pod("it has no spec".to_owned(), at("spec")));
    };
    let raw_containers = spec.containers.unwrap_or_default();
    if raw_containers.is_empty() {
        return Err(not_a_pod("it has no containers".to_owned(), at("spec")));
    }
    let volumes = spec.volumes.unwrap_or_default();
    let in_spec = |why| not_a_pod(why, at("spec"));
    Ok(StaticPod {
        name,
        namespace: metadata
            .namespace
            .map(|namespace| namespace.0)
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or_else(|| "default".to_owned()),
        uid: metadata.uid.map(|uid| uid.0),
        containers: raw_containers
            .into_iter()
            .map(container)
            .collect::<Result<_, _>>()
            .map_err(in_spec)?,
        init_containers: spec.init_containers.map_or(0, |containers| containers.len()),
        volume_names: volumes.iter().map(|volume| volume.name.0.clone()).collect(),
        host_paths: volumes
            .into_iter()
            .filter_map(host_path)
            .collect::<Result<_, _>>()
            .map_err(in_spec)?,
        run_as_user: spec.security_context.and_then(|context| context.run_as_user),
    })
}

fn absolute(text: &str) -> Result<NodePath, String> {
    text.parse()
        .map_err(|error: crate::domain::InvalidPath| error.to_string())
}

fn host_path(volume: RawVolume) -> Option<Result<HostPathVolume, String>> {
    let RawHostPath { path, kind } = volume.host_path?;
    let named = |path| HostPathVolume {
        name: volume.name.0,
        path,
        kind: kind.map(|kind| kind.0).unwrap_or_default(),
    };
    Some(absolute(&path.0).map(named))
}

fn words(list: Option<Vec<Text>>) -> Vec<String> {
    list.unwrap_or_default().into_iter().map(|word| word.0).collect()
}

fn container(raw: RawContainer) -> Result<Container, String> {
    let ports = raw.ports.unwrap_or_default();
    let probe = [raw.readiness_probe, raw.startup_probe, raw.liveness_probe]
        .into_iter()
        .flatten()
        .find_map(|probe| probe.http_get);
    let mount = |mount: RawMount| {
        Ok::<_, String>(Mount {
            volume: mount.name.0,
            path: absolute(&mount.mount_path.0)?,
            read_only: mount.read_only.unwrap_or(false),
            sub_path: [mount.sub_path, mount.sub_path_expr]
                .into_iter()
                .flatten()
                .map(|path| path.0)
                .find(|path| !path.is_empty()),
        })
    };
    Ok(Container {
        name: raw.name.0,
        image: raw.image.map(|image| image.0).unwrap_or_default(),
        command: words(raw.command),
        args: words(raw.args),
        env: raw
            .env
            .unwrap_or_default()
            .into_iter()
            .map(|variable| variable.name.0)
            .collect(),
        mounts: raw
            .volume_mounts
            .unwrap_or_default()
            .into_iter()
            .map(mount)
            .collect::<Result<_, _>>()?,
        health: probe.map(|get| endpoint(get, &ports)).transpose()?,
        run_as_user: raw.security_context.and_then(|context| context.run_as_user),
    })
}

fn endpoint(get: RawHttpGet, ports: &[RawPort]) -> Result<HealthEndpoint, String> {
    let port = match get.port {
        RawPortRef::Number(port) => port,
        RawPortRef::Name(name) => ports
            .iter()
            .find(|port| port.name.as_ref() == Some(&name))
            .map(|port| port.container_port)
            .ok_or_else(|| {
                format!(
                    "a probe names the port {}, which the container does not have",
                    name.0
                )
            })?,
    };
    let scheme = match get.scheme.as_ref().map(|scheme| scheme.0.as_str()) {
        None | Some("HTTP") => Scheme::Http,
        Some("HTTPS") => Scheme::Https,
        Some(other) => return Err(format!("a probe has the scheme {other}")),
    };
    Ok(HealthEndpoint {
        scheme,
        host: get
            .host
            .map(|host| host.0)
            .unwrap_or_else(|| "127.0.0.1".to_owned()),
        port,
        path: get.path.map(|path| path.0).unwrap_or_else(|| "/".to_owned()),
    })
}

#[cfg(test)]
mod tests {
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
            "8080", "true", "yes", "No", "on", "OFF", "y", "010", "08", "1_000", "0b11", "0x1F", "-1",
            "+.5e3", "1e3", "~",
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
}
