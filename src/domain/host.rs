//! Facts of the host that are, for the most part, only reported.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::{Component, Fact, FileFacts, NodePath, Owner, Reason};

/// What controls ask of the host and nothing mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The kubeconfigs of the control plane and the kubelet.
    pub kubeconfigs: Fact<BTreeMap<NodePath, Fact<Kubeconfig>>>,
    /// The kubeconfigs in home folders, by the folder.
    pub home_kubeconfigs: Fact<BTreeMap<NodePath, Fact<Vec<HomeKubeconfig>>>>,
    /// Certificates with their keys.
    pub pairs: Fact<Vec<Pair>>,
    /// Certificates with their keys as they would be once one component, or the kubelet (`None`), has what is wanted of it.
    pub pairs_to_be: Fact<BTreeMap<Option<Component>, Vec<Pair>>>,
    /// Who is connected to etcd and is neither an API server of this node nor etcd itself. `Absent` where no etcd runs here.
    pub etcd_clients: Fact<Vec<EtcdClient>>,
    /// The hosts of etcd's members; asked only when somebody from elsewhere is connected.
    pub etcd_peers: Fact<BTreeSet<String>>,
    /// By folder, the files with a private key that others can read.
    pub exposed_keys: Fact<BTreeMap<NodePath, Searched>>,
    /// The kubelet's unit, its drop-ins and its environment files: their text.
    pub kubelet_unit: Fact<BTreeMap<NodePath, Fact<String>>>,
    /// What the processes of the components and the kubelet listen on.
    pub listeners: Fact<Vec<Listener>>,
    /// The links that start sshd with the system.
    pub ssh_links: Fact<BTreeMap<NodePath, Fact<FileFacts>>>,
}

/// A kubeconfig, as far as controls ask about it. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kubeconfig {
    /// The clusters whose server is not verified (`insecure-skip-tls-verify`), or is asked over plain HTTP.
    pub unverified: BTreeSet<String>,
    /// The URLs of its servers.
    pub servers: BTreeSet<String>,
    /// How its users sign in.
    pub sign_ins: BTreeSet<SignIn>,
}

/// How a user of a kubeconfig signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignIn {
    /// By a client certificate.
    Certificate,
    /// By a token that stands in it.
    Token,
    /// By a token in a file of its own.
    TokenFile,
    /// By a password.
    Password,
    /// By what a command prints.
    Exec,
    /// By a provider that is compiled into the client.
    AuthProvider,
    /// Not at all.
    Nothing,
}

/// A kubeconfig in a home folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeKubeconfig {
    /// Where it lies.
    pub path: NodePath,
    /// Its facts.
    pub facts: FileFacts,
    /// Whose home it is.
    pub home: Owner,
    /// True when nobody but root and the home's owner can put names into the home and its folder `.kube`.
    pub is_closed: bool,
    /// The subject of a client certificate in it that is the administrator's.
    pub administrator: Option<String>,
}

/// A certificate and its key, as flags or a file name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What names them: `kube-apiserver --tls-cert-file`.
    pub object: String,
    /// What the certificate is used for.
    pub wanted: Vec<Usage>,
    /// The file of the authority that those who are shown it know. `Absent` where none is asked about.
    pub authority: Fact<NodePath>,
    /// True for the keys of service accounts.
    pub tokens: bool,
    /// What was found.
    pub found: Fact<PairFacts>,
}

/// What came of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFacts {
    /// Whom the certificate names; empty for a bare public key.
    pub subject: String,
    /// True when the key is the certificate's.
    pub fits: bool,
    /// Whether the authority signed it; `Absent` where none is asked about.
    pub issued: Fact<bool>,
    /// What it must not be used for, of what it is used for (extendedKeyUsage).
    pub lacks: Vec<Usage>,
    /// The names and addresses that it is for (subjectAltName).
    pub names: Vec<String>,
}

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// To be shown by a server (`serverAuth`).
    Server,
    /// To be shown by a client (`clientAuth`).
    Client,
}

/// What a search for keys in a folder came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Searched {
    /// What was found.
    pub found: Vec<ExposedKey>,
    /// Why not all of it was looked at, if it was not.
    pub cut_off: Option<Reason>,
}

/// A file with a private key that others than root can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedKey {
    /// Where it lies.
    pub path: NodePath,
    /// Its facts.
    pub facts: FileFacts,
}

/// A socket that a process listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Whose; `None` for the kubelet.
    pub component: Option<Component>,
    /// Where.
    pub address: SocketAddr,
}

/// Who is connected to etcd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EtcdClient {
    /// From where.
    pub address: IpAddr,
    /// To which port of etcd's.
    pub port: u16,
    /// Which program of this node it is; `None` for one elsewhere, or in a network of its own.
    pub program: Option<String>,
}

impl Default for HostFacts {
    /// Nothing was asked.
    fn default() -> Self {
        let not_asked = "it was not asked";
        Self {
            kubeconfigs: Fact::unknown(not_asked),
            home_kubeconfigs: Fact::unknown(not_asked),
            pairs: Fact::unknown(not_asked),
            pairs_to_be: Fact::unknown(not_asked),
            etcd_clients: Fact::unknown(not_asked),
            etcd_peers: Fact::unknown(not_asked),
            exposed_keys: Fact::unknown(not_asked),
            kubelet_unit: Fact::unknown(not_asked),
            listeners: Fact::unknown(not_asked),
            ssh_links: Fact::unknown(not_asked),
        }
    }
}

impl Usage {
    /// Its name in extendedKeyUsage (RFC 5280).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

impl SignIn {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Certificate => "a client certificate",
            Self::Token => "a token that stands in it",
            Self::TokenFile => "a token in a file",
            Self::Password => "a password",
            Self::Exec => "a command (exec)",
            Self::AuthProvider => "an auth-provider",
            Self::Nothing => "nothing",
        }
    }
}
