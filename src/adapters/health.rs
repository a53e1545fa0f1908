//! Health endpoints, asked as the kubelet asks them: over HTTP or HTTPS without a client certificate, the server's not verified.

mod any_certificate;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::domain::{Health, HealthEndpoint, Reason, Scheme};

/// How much of a failing answer is told.
const TOLD_BYTES: usize = 200;

/// Asks health endpoints.
#[derive(Debug, Clone)]
pub struct HealthProbe {
    timeout: Duration,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("cannot connect to it: {0}")]
    Connect(std::io::Error),
    #[error("\"{0}\" is no host name")]
    Host(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("the request cannot be made: {0}")]
    Request(http::Error),
    #[error("no whole answer came: {}", with_cause(.0))]
    Exchange(hyper::Error),
    #[error("it answered {status}{}", quoted(.body))]
    Status { status: http::StatusCode, body: String },
}

impl HealthProbe {
    /// A probe that waits at most that long for an answer.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// The answer of an endpoint; 200 to 399 is healthy, as for the kubelet (kubernetes pkg/probe/http). A redirect is not
    /// followed. The reason of a failure quotes the beginning of the answer.
    ///
    /// Runs a runtime of its own until the answer or the deadline: never call it inside another one.
    #[must_use]
    pub fn ask(&self, endpoint: &HealthEndpoint) -> Health {
        let failing = |why: String| Health::Failing(Reason::new(format!("{endpoint}: {why}")));
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failing(format!("it could not be asked: {error}")),
        };
        let answer = runtime.block_on(async { tokio::time::timeout(self.timeout, get(endpoint)).await });
        // A name that is still being looked up must not be waited for.
        runtime.shutdown_background();
        match answer {
            Ok(Ok(())) => Health::Ok,
            Ok(Err(ProbeError::Connect(cause))) if cause.kind() == std::io::ErrorKind::ConnectionRefused => {
                Health::Closed(Reason::new(format!("{endpoint}: nothing listens there")))
            }
            Ok(Err(error)) => failing(error.to_string()),
            Err(_) => failing(format!("no answer within {:?}", self.timeout)),
        }
    }
}

async fn get(endpoint: &HealthEndpoint) -> Result<(), ProbeError> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(ProbeError::Connect)?;
    match endpoint.scheme {
        Scheme::Http => exchange(endpoint, stream).await,
        Scheme::Https => {
            let name = ServerName::try_from(endpoint.host.clone())
                .map_err(|_| ProbeError::Host(endpoint.host.clone()))?;
            let config = any_certificate::client_config().map_err(ProbeError::Tls)?;
            let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
                .map_err(ProbeError::Handshake)?;
            exchange(endpoint, stream).await
        }
    }
}

async fn exchange(
    endpoint: &HealthEndpoint,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), ProbeError> {
    let host = if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    };
    let request = http::Request::get(endpoint.path.as_str())
        .header(http::header::HOST, host)
        .header(http::header::USER_AGENT, "holdfast")
        .header(http::header::ACCEPT, "*/*")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(ProbeError::Request)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ProbeError::Exchange)?;
    // It ends with the runtime; what goes wrong in it comes back from the request.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(ProbeError::Exchange)?;
    let status = answer.status();
    if (200..400).contains(&status.as_u16()) {
        return Ok(());
    }
    let body = beginning(answer.into_body()).await;
    Err(ProbeError::Status { status, body })
}

/// The first bytes of a body as one printable line. The status has been told already, so a body that breaks off is told as far
/// as it came.
async fn beginning(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < TOLD_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => break,
        }
    }
    bytes.truncate(TOLD_BYTES);
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

fn quoted(body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    }
}

fn with_cause(error: &hyper::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests;
