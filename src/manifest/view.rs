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
#[path = "view_tests.rs"]
mod tests;
