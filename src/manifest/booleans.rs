//! Which flags are booleans.

use crate::domain::{Component, FlagName};

/// True when the flag is a boolean: bare it means true, and it never takes the next argument as its value.
pub(super) fn is_boolean(component: Component, name: &FlagName) -> bool {
    let of_component: &[&str] = match component {
        Component::ApiServer => &API_SERVER_BOOLEANS,
        Component::ControllerManager => &CONTROLLER_MANAGER_BOOLEANS,
        Component::Scheduler => &[],
        Component::Etcd => &ETCD_BOOLEANS,
    };
    of_component.contains(&name.as_str())
        || (component != Component::Etcd && SHARED_BOOLEANS.contains(&name.as_str()))
}

// The boolean flags, as `--help` of Kubernetes 1.35.4 and etcd 3.6.16 lists them, and those that older versions had.

const SHARED_BOOLEANS: [&str; 12] = [
    "authentication-skip-lookup",
    "authentication-tolerate-lookup-failure",
    "contention-profiling",
    "disable-http2-serving",
    "help",
    "leader-elect",
    "log-json-split-stream",
    "log-text-split-stream",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "version",
];

const API_SERVER_BOOLEANS: [&str; 22] = [
    "aggregator-reject-forwarding-redirect",
    "allow-privileged",
    "anonymous-auth",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "emulation-forward-compatible",
    "enable-aggregator-routing",
    "enable-bootstrap-token-auth",
    "enable-garbage-collector",
    "enable-logs-handler",
    "enable-priority-and-fairness",
    "enable-swagger-ui",
    "encryption-provider-config-automatic-reload",
    "kubelet-https",
    "runtime-config-emulation-forward-compatible",
    "service-account-extend-token-expiration",
    "service-account-lookup",
    "shutdown-send-retry-after",
    "watch-cache",
];

const CONTROLLER_MANAGER_BOOLEANS: [&str; 11] = [
    "allocate-node-cidrs",
    "allow-untagged-cloud",
    "configure-cloud-routes",
    "disable-attach-detach-reconcile-sync",
    "disable-force-detach-on-timeout",
    "enable-dynamic-provisioning",
    "enable-garbage-collector",
    "enable-hostpath-provisioner",
    "enable-leader-migration",
    "enable-taint-manager",
    "use-service-account-credentials",
];

const ETCD_BOOLEANS: [&str; 33] = [
    "auto-tls",
    "client-cert-auth",
    "debug",
    "discovery-insecure-skip-tls-verify",
    "discovery-insecure-transport",
    "enable-distributed-tracing",
    "enable-grpc-gateway",
    "enable-log-rotation",
    "enable-pprof",
    "enable-v2",
    "experimental-compact-hash-check-enabled",
    "experimental-corrupt-check",
    "experimental-enable-distributed-tracing",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-initial-corrupt-check",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-stop-grpc-service-on-defrag",
    "experimental-txn-mode-write-with-shared-buffer",
    "force-new-cluster",
    "help",
    "initial-election-tick-advance",
    "memory-mlock",
    "peer-auto-tls",
    "peer-client-cert-auth",
    "peer-skip-client-san-verification",
    "pre-vote",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
    "unsafe-no-fsync",
    "version",
];
