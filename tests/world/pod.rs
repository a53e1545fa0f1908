//! A static pod as the kubelet reads it from a file: YAML or JSON, the first document, of kind Pod. Independent of
//! Holdfast's own reader, so that an error there is not repeated here.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The kubelet's limit (kubernetes pkg/kubelet/config/common.go, maxConfigLength).
const MAX_BYTES: usize = 10 << 20;

/// A pod with its identity.
#[derive(Debug, Clone)]
pub struct Pod {
    /// A hash of the parsed pod and the file's path, unless the manifest sets it: comments and white space do not count.
    pub uid: String,
    raw: RawPod,
}

#[derive(Debug, Clone, Deserialize)]
struct RawPod {
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    uid: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Spec {
    containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    ports: Vec<ContainerPort>,
    #[serde(default)]
    volume_mounts: Vec<VolumeMount>,
    readiness_probe: Option<Probe>,
    startup_probe: Option<Probe>,
    liveness_probe: Option<Probe>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount {
    name: String,
    mount_path: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    http_get: Option<HttpGet>,
}

#[derive(Debug, Clone, Deserialize)]
struct HttpGet {
    port: Port,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Name(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    host_path: Option<HostPath>,
}

#[derive(Debug, Clone, Deserialize)]
struct HostPath {
    path: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl Pod {
    /// The pod of a file, or why there is none.
    pub fn read(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|cause| cause.to_string())?;
        if bytes.len() > MAX_BYTES {
            return Err(format!("{} bytes are too many", bytes.len()));
        }
        let first = serde_yaml::Deserializer::from_slice(&bytes)
            .next()
            .ok_or("it is empty")?;
        let value = serde_json::Value::deserialize(first).map_err(|cause| cause.to_string())?;
        let raw: RawPod = serde_json::from_value(value.clone()).map_err(|cause| cause.to_string())?;
        if raw.kind != "Pod" || raw.metadata.name.is_empty() || raw.spec.containers.is_empty() {
            return Err("it is no pod".to_owned());
        }
        let uid = raw.metadata.uid.clone().unwrap_or_else(|| hash(file, &value));
        Ok(Self { uid, raw })
    }

    /// `namespace/name`: what makes two files the same pod.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    pub fn name(&self) -> &str {
        &self.raw.metadata.name
    }

    pub fn namespace(&self) -> &str {
        self.raw.metadata.namespace.as_deref().unwrap_or("default")
    }

    pub fn containers(&self) -> usize {
        self.raw.spec.containers.len()
    }

    pub fn container_name(&self, container: usize) -> &str {
        &self.raw.spec.containers[container].name
    }

    /// `command`, then `args`. (`$(VAR)` is not expanded.)
    pub fn argv(&self, container: usize) -> Vec<String> {
        let container = &self.raw.spec.containers[container];
        container.command.iter().chain(&container.args).cloned().collect()
    }

    /// The port that the container's probes ask.
    pub fn probe_port(&self, container: usize) -> Option<u16> {
        let container = &self.raw.spec.containers[container];
        let probes = [
            &container.readiness_probe,
            &container.startup_probe,
            &container.liveness_probe,
        ];
        let get = probes
            .into_iter()
            .flatten()
            .find_map(|probe| probe.http_get.as_ref())?;
        match &get.port {
            Port::Number(port) => Some(*port),
            Port::Name(name) => {
                let named = |port: &&ContainerPort| port.name.as_ref() == Some(name);
                container.ports.iter().find(named).map(|port| port.container_port)
            }
        }
    }

    /// Makes what the `hostPath` volumes ask for; why the pod cannot start if something is missing.
    pub fn prepare_volumes(&self, root: &Path) -> Result<(), String> {
        for volume in self.raw.spec.volumes.iter().filter_map(|v| v.host_path.as_ref()) {
            let path = below(root, &volume.path);
            match volume.kind.as_str() {
                "DirectoryOrCreate" | "" if !path.exists() => {
                    std::fs::create_dir_all(&path).map_err(|cause| cause.to_string())?;
                }
                "FileOrCreate" if !path.exists() => {
                    std::fs::write(&path, "").map_err(|cause| cause.to_string())?;
                }
                "Directory" | "DirectoryOrCreate" if !path.is_dir() => {
                    return Err(format!("{} is not a directory", volume.path));
                }
                "File" | "FileOrCreate" if !path.is_file() => {
                    return Err(format!("{} is not a file", volume.path));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// True when the container sees a file there: it is below a mount, and the node has it.
    pub fn sees(&self, root: &Path, container: usize, path: &str) -> bool {
        let mounts = &self.raw.spec.containers[container].volume_mounts;
        let mount = mounts
            .iter()
            .filter(|mount| Path::new(path).starts_with(&mount.mount_path))
            .max_by_key(|mount| mount.mount_path.len());
        let Some(mount) = mount else { return false };
        let volume = self.raw.spec.volumes.iter().find(|v| v.name == mount.name);
        let Some(source) = volume.and_then(|volume| volume.host_path.as_ref()) else {
            return false;
        };
        let rest = path.strip_prefix(mount.mount_path.as_str()).unwrap_or("");
        below(root, &format!("{}{rest}", source.path)).exists()
    }
}

/// A path of the node below the folder that holds the node.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// 32 hexadecimal digits, as the kubelet's FNV-128a has.
fn hash(file: &Path, pod: &serde_json::Value) -> String {
    let mut hasher = Sha256::new();
    hasher.update(file.as_os_str().as_encoded_bytes());
    hasher.update(sorted(pod).to_string());
    hasher.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The same value with its keys in order, so that their order in the file does not count.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            serde_json::Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        serde_json::Value::Array(items) => serde_json::Value::Array(items.iter().map(sorted).collect()),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.clone(),
    }
}
