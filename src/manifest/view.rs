//! The typed view of a manifest: read as the kubelet reads it, refused where that is not certain.

use std::fmt;

use serde::Deserialize;

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
    let value = document_of(text)?;
    pod_of(value)
}

/// The text of a manifest, when it is text that can be understood.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, ParseError> {
    let whole = |kind| ParseError { kind, position: None };
    if bytes.len() > MAX_BYTES {
        return Err(whole(ParseErrorKind::TooLarge(bytes.len() as u64)));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
    {
        return Err(ParseError {
            kind: ParseErrorKind::ByteOrderMark,
            position: Some((1, 1)),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| whole(ParseErrorKind::Binary))?;
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(whole(ParseErrorKind::Binary));
    }
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = line.get(..indent).and_then(|white| white.find('\t'));
        if let (Some(column), false) = (
            tab,
            line.trim().is_empty() || line.trim_start().starts_with(['{', '}', '[', ']', '"']),
        ) {
            return Err(ParseError {
                kind: ParseErrorKind::Tab,
                position: Some((index + 1, column + 1)),
            });
        }
    }
    Ok(text)
}

/// The one YAML document of a text, merge keys applied.
pub(super) fn document_of(text: &str) -> Result<serde_yaml::Value, ParseError> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return Err(ParseError {
            kind: ParseErrorKind::Empty,
            position: None,
        });
    };
    let mut value = serde_yaml::Value::deserialize(first).map_err(|error| syntax(&error))?;
    if documents.next().is_some() {
        return Err(ParseError {
            kind: ParseErrorKind::SeveralDocuments,
            position: None,
        });
    }
    value.apply_merge().map_err(|error| syntax(&error))?;
    if value.is_null() {
        return Err(ParseError {
            kind: ParseErrorKind::Empty,
            position: None,
        });
    }
    Ok(value)
}

fn syntax(error: &serde_yaml::Error) -> ParseError {
    let position = error
        .location()
        .map(|location| (location.line(), location.column()));
    let words = error.to_string();
    // The parser's words end in the position, which stands in front already.
    let why = words.split(" at line ").next().unwrap_or(&words).to_owned();
    ParseError {
        kind: ParseErrorKind::Syntax(why),
        position,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPod {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    metadata: RawMetadata,
    spec: Option<RawSpec>,
}

#[derive(Deserialize, Default)]
struct RawMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
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
    name: String,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    args: Option<Vec<String>>,
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
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMount {
    name: String,
    mount_path: String,
    #[serde(default)]
    read_only: Option<bool>,
    sub_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVolume {
    name: String,
    host_path: Option<RawHostPath>,
}

#[derive(Deserialize)]
struct RawHostPath {
    path: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProbe {
    http_get: Option<RawHttpGet>,
}

#[derive(Deserialize)]
struct RawHttpGet {
    host: Option<String>,
    path: Option<String>,
    port: RawPortRef,
    scheme: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPortRef {
    Number(u16),
    Name(String),
}

fn pod_of(value: serde_yaml::Value) -> Result<StaticPod, ParseError> {
    let not_a_pod = |why: String| ParseError {
        kind: ParseErrorKind::NotAPod(why),
        position: None,
    };
    if !value.is_mapping() {
        return Err(not_a_pod("the document is no mapping".to_owned()));
    }
    let raw: RawPod = serde_yaml::from_value(value).map_err(|error| not_a_pod(error.to_string()))?;
    match (raw.api_version.as_deref(), raw.kind.as_deref()) {
        (Some("v1"), Some("Pod")) => {}
        (version, kind) => {
            let [version, kind] = [version, kind].map(|word| word.unwrap_or("nothing"));
            return Err(not_a_pod(format!(
                "apiVersion is {version} and kind is {kind}, not v1 and Pod"
            )));
        }
    }
    let name = raw.metadata.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| not_a_pod("it has no metadata.name".to_owned()))?;
    let spec = raw.spec.ok_or_else(|| not_a_pod("it has no spec".to_owned()))?;
    let raw_containers = spec.containers.unwrap_or_default();
    if raw_containers.is_empty() {
        return Err(not_a_pod("it has no containers".to_owned()));
    }
    let volumes = spec.volumes.unwrap_or_default();
    let volume_names = volumes.iter().map(|volume| volume.name.clone()).collect();
    Ok(StaticPod {
        name,
        namespace: raw.metadata.namespace.unwrap_or_else(|| "default".to_owned()),
        uid: raw.metadata.uid,
        containers: raw_containers
            .into_iter()
            .map(container)
            .collect::<Result<_, _>>()
            .map_err(not_a_pod)?,
        init_containers: spec.init_containers.map_or(0, |containers| containers.len()),
        host_paths: volumes
            .into_iter()
            .filter_map(host_path)
            .collect::<Result<_, _>>()
            .map_err(not_a_pod)?,
        volume_names,
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
        name: volume.name,
        path,
        kind: kind.unwrap_or_default(),
    };
    Some(absolute(&path).map(named))
}

fn container(raw: RawContainer) -> Result<Container, String> {
    let ports = raw.ports.unwrap_or_default();
    let probe = [raw.readiness_probe, raw.startup_probe, raw.liveness_probe]
        .into_iter()
        .flatten()
        .find_map(|probe| probe.http_get);
    let mount = |mount: RawMount| {
        Ok::<_, String>(Mount {
            volume: mount.name,
            path: absolute(&mount.mount_path)?,
            read_only: mount.read_only.unwrap_or(false),
            sub_path: mount.sub_path,
        })
    };
    Ok(Container {
        name: raw.name,
        image: raw.image.unwrap_or_default(),
        command: raw.command.unwrap_or_default(),
        args: raw.args.unwrap_or_default(),
        env: raw
            .env
            .unwrap_or_default()
            .into_iter()
            .map(|variable| variable.name)
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
            .find(|port| port.name.as_deref() == Some(name.as_str()))
            .map(|port| port.container_port)
            .ok_or_else(|| format!("a probe names the port {name}, which the container does not have"))?,
    };
    let scheme = match get.scheme.as_deref() {
        None | Some("HTTP") => Scheme::Http,
        Some("HTTPS") => Scheme::Https,
        Some(other) => return Err(format!("a probe has the scheme {other}")),
    };
    Ok(HealthEndpoint {
        scheme,
        host: get.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port,
        path: get.path.unwrap_or_else(|| "/".to_owned()),
    })
}
