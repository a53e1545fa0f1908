//! Why a `ClusterConfiguration` is not edited, and what the operator can do.

use crate::manifest::{ParseError, ParseErrorKind};

/// Why the `ClusterConfiguration` of `kube-system/kubeadm-config` is not brought in line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeadmConfigError {
    /// Over the size that is read.
    #[error(
        "the ClusterConfiguration has {0} bytes, more than any that kubeadm writes; look at it with kubectl -n kube-system get configmap kubeadm-config -o yaml"
    )]
    TooLarge(u64),
    /// Control characters, or a byte order mark.
    #[error(
        "the ClusterConfiguration holds bytes that are no text; correct it with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    NotText,
    /// kubeadm would read one of them.
    #[error(
        "the ClusterConfiguration holds several YAML documents; leave the one of kind ClusterConfiguration, with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    SeveralDocuments,
    /// Not YAML, or a key is given twice.
    #[error(
        "the ClusterConfiguration cannot be read{}: {why}; correct it with kubectl -n kube-system edit configmap kubeadm-config",
        place(*.position)
    )]
    Syntax {
        /// Line and column, both from 1, where they are known.
        position: Option<(usize, usize)>,
        /// The parser's words.
        why: String,
    },
    /// Empty, or a list, or one word.
    #[error(
        "the ClusterConfiguration is no mapping of keys to values; kubeadm cannot read it either: restore it with kubeadm init phase upload-config kubeadm --config FILE"
    )]
    NotAMapping,
    /// Of a kind or a version that is not known.
    #[error(
        "the ClusterConfiguration is of apiVersion {api_version}, kind {kind}, and only ClusterConfiguration of kubeadm.k8s.io/v1beta3 and kubeadm.k8s.io/v1beta4 is known; add the flags and the volume to its apiServer by hand, with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    OtherKind {
        /// What it says, or `none`.
        api_version: String,
        /// What it says, or `none`.
        kind: String,
    },
    /// A field that kubeadm would not read.
    #[error(
        "{field} of the ClusterConfiguration is not {expected}, as kubeadm expects it; correct it with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    Shape {
        /// The field, as `apiServer.extraArgs[2]`.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Two volumes cannot be mounted at one path.
    #[error(
        "the volume {volume} in apiServer.extraVolumes of the ClusterConfiguration is mounted at {mount_path}, where {wanted} must be; remove it, or mount it elsewhere, with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    MountPathTaken {
        /// The volume that is there.
        volume: String,
        /// The volume that is wanted.
        wanted: String,
        /// Where both would be.
        mount_path: String,
    },
    /// A flag, a volume's name or a mount path is wanted twice: the caller's mistake.
    #[error("{0} is wanted twice for the API server; this is an error of Holdfast's: please report it")]
    WantedTwice(String),
    /// The writer's own check; what it found.
    #[error(
        "the ClusterConfiguration would not keep its meaning: {0}; add the flags and the volume to its apiServer by hand, with kubectl -n kube-system edit configmap kubeadm-config"
    )]
    NotWritten(&'static str),
}

fn place(position: Option<(usize, usize)>) -> String {
    position.map_or_else(String::new, |(line, column)| {
        format!(" at line {line}, column {column}")
    })
}

impl From<ParseError> for KubeadmConfigError {
    fn from(error: ParseError) -> Self {
        let position = error.position;
        match error.kind {
            ParseErrorKind::Empty => Self::NotAMapping,
            ParseErrorKind::TooLarge(bytes) => Self::TooLarge(bytes),
            ParseErrorKind::Binary | ParseErrorKind::ByteOrderMark => Self::NotText,
            ParseErrorKind::SeveralDocuments => Self::SeveralDocuments,
            ParseErrorKind::Tab => Self::Syntax {
                position,
                why: "a tab indents the line, which YAML does not allow".to_owned(),
            },
            ParseErrorKind::Syntax(why) | ParseErrorKind::NotAPod(why) => Self::Syntax { position, why },
        }
    }
}
