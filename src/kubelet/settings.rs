//! The settings that are judged, with what is built in (pkg/kubelet/apis/config/v1beta1/defaults.go; for a kubelet without a file
//! `applyLegacyDefaults` of cmd/kubelet/app/options).

use super::{Kind, Setting};

const fn setting(key: &'static str, flag: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting {
        key,
        flag,
        kind,
        default,
        without_file: default,
    }
}

/// A setting that only the file has.
const fn of_file(key: &'static str, default: &'static str) -> Setting {
    setting(key, "", Kind::Boolean, default)
}

/// Whether requests without a name are taken.
pub const ANONYMOUS: Setting = Setting {
    without_file: "true",
    ..setting(
        "authentication.anonymous.enabled",
        "anonymous-auth",
        Kind::Boolean,
        "false",
    )
};
/// Who decides what a client may do.
pub const AUTHORIZATION: Setting = Setting {
    without_file: "AlwaysAllow",
    ..setting("authorization.mode", "authorization-mode", Kind::Text, "Webhook")
};
/// The authorities of client certificates.
pub const CLIENT_CA: Setting = setting(
    "authentication.x509.clientCAFile",
    "client-ca-file",
    Kind::Text,
    "",
);
/// The port on which it serves the API server.
pub const PORT: Setting = setting("port", "port", Kind::Number, "10250");
/// The port that asks nobody for a name.
pub const READ_ONLY_PORT: Setting = Setting {
    without_file: "10255",
    ..setting("readOnlyPort", "read-only-port", Kind::Number, "0")
};
/// How long a connection into a pod may be idle.
pub const IDLE: Setting = setting(
    "streamingConnectionIdleTimeout",
    "streaming-connection-idle-timeout",
    Kind::Span,
    "4h0m0s",
);
/// The socket of its container runtime.
pub const RUNTIME_ENDPOINT: Setting = setting(
    "containerRuntimeEndpoint",
    "container-runtime-endpoint",
    Kind::Text,
    "unix:///run/containerd/containerd.sock",
);
/// Its own chains of iptables.
pub const IPTABLES_CHAINS: Setting = setting(
    "makeIPTablesUtilChains",
    "make-iptables-util-chains",
    Kind::Boolean,
    "true",
);
/// Another name for the node; the file has none.
pub const HOSTNAME: Setting = setting("", "hostname-override", Kind::Text, "");
/// How many events a second it tells.
pub const EVENT_QPS: Setting = setting("eventRecordQPS", "event-qps", Kind::Number, "50");
/// Its serving certificate, by a file.
pub const CERTIFICATE: Setting = setting("tlsCertFile", "tls-cert-file", Kind::Text, "");
/// The key of that one.
pub const PRIVATE_KEY: Setting = setting("tlsPrivateKeyFile", "tls-private-key-file", Kind::Text, "");
/// Whether it asks the cluster for its serving certificate.
pub const BOOTSTRAP: Setting = setting(
    "serverTLSBootstrap",
    "rotate-server-certificates",
    Kind::Boolean,
    "false",
);
/// Whether it renews its client certificate.
pub const ROTATE: Setting = setting(
    "rotateCertificates",
    "rotate-certificates",
    Kind::Boolean,
    "false",
);
/// The cipher suites of its port.
pub const CIPHER_SUITES: Setting = setting("tlsCipherSuites", "tls-cipher-suites", Kind::List, "");
/// The oldest TLS that it speaks; unset it is 1.2.
pub const TLS_FLOOR: Setting = setting("tlsMinVersion", "tls-min-version", Kind::Text, "");
/// How many processes a pod may have.
pub const PIDS_LIMIT: Setting = setting("podPidsLimit", "pod-max-pids", Kind::Number, "-1");
/// Whether pods without a seccomp profile get the runtime's.
pub const SECCOMP: Setting = setting("seccompDefault", "seccomp-default", Kind::Either, "false");
/// Whether it stops where kernel parameters are not as it wants them, and changes none.
pub const KERNEL_DEFAULTS: Setting = setting(
    "protectKernelDefaults",
    "protect-kernel-defaults",
    Kind::Boolean,
    "false",
);
/// Whether it has the API server check bearer tokens.
pub const WEBHOOK: Setting = Setting {
    without_file: "false",
    ..setting(
        "authentication.webhook.enabled",
        "authentication-token-webhook",
        Kind::Boolean,
        "true",
    )
};
/// Where its health port listens.
pub const HEALTHZ: Setting = setting(
    "healthzBindAddress",
    "healthz-bind-address",
    Kind::Text,
    "127.0.0.1",
);
/// The port of its health; 0 for none.
pub const HEALTHZ_PORT: Setting = setting("healthzPort", "healthz-port", Kind::Number, "10248");
/// A server that it takes pods from.
pub const STATIC_POD_URL: Setting = setting("staticPodURL", "manifest-url", Kind::Text, "");
/// The folder of static pods.
pub const STATIC_POD_PATH: Setting = setting("staticPodPath", "pod-manifest-path", Kind::Text, "");
/// `/debug/pprof`.
pub const PROFILING: Setting = of_file("enableProfilingHandler", "true");
/// `/debug/flags`, which changes how much it logs.
pub const DEBUG_FLAGS: Setting = of_file("enableDebugFlagsHandler", "true");
/// The gate without which no serving certificate is renewed; on where nothing says so.
pub const ROTATE_SERVER_GATE: Setting = of_file("featureGates.RotateKubeletServerCertificate", "");
/// All gates of the stage of that one.
pub const GATE_STAGE: Setting = of_file("featureGates.AllBeta", "");
