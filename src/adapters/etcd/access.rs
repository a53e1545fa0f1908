//! How the API server of this node reaches etcd, by its flags.

use std::fmt;

use zeroize::Zeroizing;

use crate::adapters::files::Files;
use crate::census::{InvalidPrefix, MAX_REQUEST_BYTES, Paths};
use crate::domain::{Component, Fact, FlagName, Manifest, NodePath};
use crate::manifest::{self, CommandLine, Mounted};

/// No certificate or key is larger.
const MAX_PEM_BYTES: usize = 256 << 10;

/// The API server's own default.
const DEFAULT_PREFIX: &str = "/registry";

/// Where etcd is, what opens it, and how its keys are laid out.
#[derive(Debug, Clone)]
pub struct Access {
    /// URLs, in the order of the flag.
    pub endpoints: Vec<String>,
    /// What opens an `https` endpoint.
    pub tls: Option<Tls>,
    /// The layout below `--etcd-prefix`.
    pub paths: Paths,
    /// The largest request that it takes, in bytes; its default, where its own manifest is not at hand.
    pub max_request_bytes: u64,
}

/// An authority, and the certificate and key of a client; all as PEM.
#[derive(Clone)]
pub struct Tls {
    /// The authority that etcd's certificate is of.
    pub authority: Vec<u8>,
    /// The client's certificate and its key, if it has one. The key is wiped when it is dropped.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why it cannot be told how etcd is reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The command line of kube-apiserver is not understood.
    #[error(transparent)]
    CommandLine(#[from] manifest::NotUnderstood),
    /// No endpoint.
    #[error("kube-apiserver has no --etcd-servers to find etcd by")]
    NoServers,
    /// Some resources are stored elsewhere.
    #[error(
        "kube-apiserver keeps some resources in another etcd (--etcd-servers-overrides={0}), which is not looked into; \
         keys are only changed where all values are seen"
    )]
    Overrides(String),
    /// An endpoint that is no http or https URL.
    #[error("--etcd-servers names {0}, which is no http or https endpoint")]
    Endpoint(String),
    /// A prefix that is no path.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// A flag that must be there is not.
    #[error("kube-apiserver has no --{0} to ask etcd with")]
    NoFlag(&'static str),
    /// The file of a flag cannot be read.
    #[error("--{flag}: {why}")]
    File {
        /// The flag.
        flag: &'static str,
        /// Why not.
        why: String,
    },
}

/// How the API server of this manifest reaches etcd, stacked or external.
///
/// # Errors
/// When a flag or a file is missing or not understood, or etcd is laid out in a way that would hide values from us.
pub fn access(files: &Files, api_server: &Manifest) -> Result<Access, AccessError> {
    let line = manifest::command_line(Component::ApiServer, &api_server.pod)?;
    let overrides = flag("etcd-servers-overrides").and_then(|flag| line.list(&flag));
    if let Some(overrides) = overrides.filter(|list| list.iter().any(|word| !word.trim().is_empty())) {
        return Err(AccessError::Overrides(overrides.join(",")));
    }
    let prefix = flag("etcd-prefix")
        .and_then(|flag| line.scalar(&flag))
        .unwrap_or(DEFAULT_PREFIX);
    let paths = Paths::new(prefix)?;
    let servers = flag("etcd-servers")
        .and_then(|flag| line.list(&flag))
        .unwrap_or_default();
    // etcd's client takes an endpoint without a scheme, and uses TLS there when it was given certificates.
    let bare = if scalar(&line, "etcd-cafile").is_some() || scalar(&line, "etcd-certfile").is_some() {
        "https"
    } else {
        "http"
    };
    let endpoints = servers
        .iter()
        .map(|server| endpoint(server.trim(), bare))
        .collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() {
        return Err(AccessError::NoServers);
    }
    let tls = if endpoints.iter().any(|endpoint| endpoint.starts_with("https://")) {
        Some(tls(files, api_server, &line)?)
    } else {
        None
    };
    Ok(Access {
        endpoints,
        tls,
        paths,
        max_request_bytes: MAX_REQUEST_BYTES,
    })
}

fn endpoint(server: &str, bare: &str) -> Result<String, AccessError> {
    match server.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(server.to_owned()),
        None if !server.is_empty() && !server.contains('/') => Ok(format!("{bare}://{server}")),
        _ => Err(AccessError::Endpoint(server.to_owned())),
    }
}

fn tls(files: &Files, api_server: &Manifest, line: &CommandLine) -> Result<Tls, AccessError> {
    let authority = read_pem(files, api_server, line, "etcd-cafile")?;
    let has = |name| scalar(line, name).is_some();
    let identity = if has("etcd-certfile") || has("etcd-keyfile") {
        let certificate = read_pem(files, api_server, line, "etcd-certfile")?;
        let key = read_pem(files, api_server, line, "etcd-keyfile").map(Zeroizing::new)?;
        Some((certificate, key))
    } else {
        None
    };
    Ok(Tls { authority, identity })
}

/// The file that a flag names, read from where the container gets it.
fn read_pem(
    files: &Files,
    api_server: &Manifest,
    line: &CommandLine,
    flag: &'static str,
) -> Result<Vec<u8>, AccessError> {
    let failed = |why: String| AccessError::File { flag, why };
    let value = scalar(line, flag).ok_or(AccessError::NoFlag(flag))?;
    let path: NodePath = value
        .parse()
        .map_err(|error: crate::domain::InvalidPath| failed(error.to_string()))?;
    let container = api_server
        .pod
        .containers
        .get(line.container())
        .ok_or_else(|| failed("kube-apiserver has no container".to_owned()))?;
    let path = match manifest::mounted_from(&api_server.pod, container, &path) {
        Mounted::From(path) => path,
        Mounted::NotMounted => return Err(failed(format!("{path} is not mounted"))),
        Mounted::Unclear(why) => return Err(failed(format!("{path}: {why}"))),
    };
    match files.read(&path, MAX_PEM_BYTES) {
        Fact::Known(content) => Ok(content.bytes),
        Fact::Absent => Err(failed(format!("{path} is not there"))),
        Fact::Unknown(reason) => Err(failed(reason.to_string())),
    }
}

fn scalar<'a>(line: &'a CommandLine, name: &str) -> Option<&'a str> {
    flag(name)
        .and_then(|flag| line.scalar(&flag))
        .filter(|value| !value.is_empty())
}

/// Always a flag name: they are written down here.
fn flag(name: &str) -> Option<FlagName> {
    name.parse().ok()
}

#[cfg(test)]
mod tests;
