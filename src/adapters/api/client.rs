//! Requests to the API server: HTTP/1.1 over mutual TLS, a deadline for each, and no text of an answer in any error.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT, WARNING,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kube::config::AuthInfo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{Address, kubeconfig};
use crate::adapters::cluster::with_causes;
use crate::adapters::files::Files;
use crate::domain::{Fact, NodePath, Reason};

/// The API server of this node, and what opens it.
#[derive(Clone)]
pub struct Api {
    address: Address,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    token: Option<HeaderValue>,
    timeout: Duration,
    passes_flow_control: bool,
}

/// Why no client could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApiError(Reason);

/// Why a request got no whole answer. Whether the server acted on it is then not known, unless no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens, or it cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// It is not who it should be, or does not take our certificate.
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    /// The request cannot be expressed.
    #[error("the request cannot be made: {0}")]
    Request(http::Error),
    /// The connection broke before the end of the answer.
    #[error("the connection broke: {}", with_causes(.0))]
    Broken(hyper::Error),
    /// The deadline passed.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The answer is longer than any that is right.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// What the server answered.
pub(super) struct Answer {
    pub(super) code: u16,
    /// The header of that name, in seconds.
    pub(super) retry_after: Option<u64>,
    /// The texts of headers `Warning`.
    pub(super) warnings: Vec<String>,
    /// Metadata may hold a secret too: kubectl's last-applied annotation.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A request without what is the same in all of them.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: &'static str,
    /// The body and its type.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

/// A kept connection, for one request after another.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Api {
    /// The client for the API server at that address, with the authority and credentials of a kubeconfig. Each request is waited for
    /// that long at most, connecting included.
    ///
    /// Asks nothing of the server yet. Runs a runtime of its own: never call it inside another one.
    ///
    /// # Errors
    /// When the kubeconfig is not there, cannot be read, runs a program, names files, does not verify the server, or impersonates.
    pub fn open(
        files: &Files,
        kubeconfig: &NodePath,
        address: Address,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let text = match files.read(kubeconfig, kubeconfig::MAX_BYTES) {
            Fact::Known(content) => Zeroizing::new(content.bytes),
            Fact::Absent => return Err(ApiError(Reason::new(format!("{kubeconfig} is not there")))),
            Fact::Unknown(reason) => return Err(ApiError(reason)),
        };
        Self::read(&text, kubeconfig, address, timeout)
    }

    /// The same with the kubeconfig that the operator names, which must be root's alone.
    ///
    /// # Errors
    /// Also when others than root can read or write it.
    pub fn open_own(
        files: &Files,
        kubeconfig: &NodePath,
        address: Address,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let text = kubeconfig::own_text(files, kubeconfig).map_err(ApiError)?;
        Self::read(&text, kubeconfig, address, timeout)
    }

    /// Whether the API server's flow control holds these credentials back no more than its own: members of `system:masters` pass it
    /// (the mandatory flow schema `exempt`, k8s.io/apiserver `pkg/apis/flowcontrol/bootstrap/default.go`).
    #[must_use]
    pub const fn passes_flow_control(&self) -> bool {
        self.passes_flow_control
    }

    /// The same, with another deadline for each answer.
    #[must_use]
    pub fn waiting(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn read(
        text: &[u8],
        kubeconfig: &NodePath,
        address: Address,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime
            .map_err(|error| ApiError(Reason::new(format!("{kubeconfig} could not be read: {error}"))))?;
        let config = runtime.block_on(kubeconfig::config(kubeconfig, text));
        let config = config.map_err(ApiError)?;
        Self::with(&config, kubeconfig, address, timeout)
    }

    fn with(
        config: &kube::Config,
        path: &NodePath,
        address: Address,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let refused = |why: &str| ApiError(Reason::new(format!("{path} is not used to ask the API: {why}")));
        if config.accept_invalid_certs {
            return Err(refused(
                "it does not verify the server (insecure-skip-tls-verify)",
            ));
        }
        let user = &config.auth_info;
        if user.impersonate.is_some() || user.impersonate_groups.is_some() {
            return Err(refused("it impersonates somebody else"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in config.root_cert.iter().flatten() {
            roots
                .add(CertificateDer::from(certificate.as_slice()))
                .map_err(|_| refused("its authority is not a certificate"))?;
        }
        if roots.is_empty() {
            return Err(refused("it holds no authority (certificate-authority-data)"));
        }
        // Its own name for the server is what the operator trusts; else the address's.
        let name = config.tls_server_name.as_ref().unwrap_or(&address.name);
        let name = ServerName::try_from(name.clone())
            .map_err(|_| refused(&format!("\"{name}\" is no name of a server")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots);
        let identity = identity(user).map_err(refused)?;
        let passes_flow_control = identity
            .as_ref()
            .and_then(|(chain, _)| chain.first())
            .is_some_and(|certificate| is_of_masters(certificate));
        let tls = match identity {
            // The error is not told: it is about the key.
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| refused("its client certificate and key do not fit"))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self {
            address,
            name,
            tls: Arc::new(tls),
            token: token(user).map_err(refused)?,
            timeout,
            passes_flow_control,
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// When nobody listens, the server's certificate is not right, or the deadline passes.
    pub async fn connect(&self) -> Result<Connection, CallError> {
        self.within(async {
            let stream = TcpStream::connect((self.address.ip, self.address.port))
                .await
                .map_err(CallError::Connect)?;
            // A small request must not wait for the answer to the one before.
            stream.set_nodelay(true).map_err(CallError::Connect)?;
            let stream = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls))
                .connect(self.name.clone(), stream)
                .await
                .map_err(CallError::Handshake)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(CallError::Broken)?;
            // It ends with its sender; what goes wrong in it comes back from the request.
            tokio::spawn(connection);
            Ok(Connection { sender })
        })
        .await
    }

    /// The answer to a request on a kept connection, up to `max` bytes of it.
    pub(super) async fn call(
        &self,
        connection: &mut Connection,
        call: Call<'_>,
        max: usize,
    ) -> Result<Answer, CallError> {
        self.within(async {
            let response = connection.send(self.request(call)?).await?;
            let (code, retry_after) = head(&response);
            let warnings = response.headers().get_all(WARNING).iter();
            let warnings = warnings
                .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
                .collect();
            let mut body = Zeroizing::new(Vec::new());
            each_chunk(response.into_body(), |chunk| {
                if body.len() + chunk.len() > max {
                    return Err(CallError::TooLong(max));
                }
                body.extend_from_slice(chunk);
                Ok(())
            })
            .await?;
            Ok(Answer {
                code,
                retry_after,
                warnings,
                body,
            })
        })
        .await
    }

    /// The answer to a GET on a connection of its own.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        max: usize,
    ) -> Result<Answer, CallError> {
        let mut connection = self.connect().await?;
        self.call(&mut connection, get(path, accept), max).await
    }

    /// Gives the body of a GET piece by piece, however long it is; the status code. Nothing of it counts before this returns: it may
    /// break off.
    pub(super) async fn stream(&self, path: &str, mut take: impl FnMut(&[u8])) -> Result<u16, CallError> {
        let mut connection = self.connect().await?;
        self.within(async {
            let response = connection.send(self.request(get(path, "text/plain"))?).await?;
            let (code, _) = head(&response);
            each_chunk(response.into_body(), |chunk| {
                take(chunk);
                Ok(())
            })
            .await?;
            Ok(code)
        })
        .await
    }

    /// How it is called in errors.
    pub(super) fn told(&self, path: &str, what: &str) -> Reason {
        let ip = self.address.ip;
        let ip = if ip.is_ipv6() {
            format!("[{ip}]")
        } else {
            ip.to_string()
        };
        Reason::new(format!(
            "the API server at {ip}:{}, {path}: {what}",
            self.address.port
        ))
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let host = if self.address.ip.is_ipv6() {
            format!("[{}]:{}", self.address.ip, self.address.port)
        } else {
            format!("{}:{}", self.address.ip, self.address.port)
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, call.accept);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let body = match call.body {
            Some((kind, body)) => {
                request = request.header(CONTENT_TYPE, kind);
                Full::from(body)
            }
            None => Full::default(),
        };
        request.body(body).map_err(CallError::Request)
    }

    async fn within<T>(&self, act: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        tokio::time::timeout(self.timeout, act)
            .await
            .unwrap_or(Err(CallError::Late(self.timeout)))
    }
}

impl Connection {
    /// False when the server has closed it.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallError> {
        self.sender.ready().await.map_err(CallError::Broken)?;
        self.sender.send_request(request).await.map_err(CallError::Broken)
    }
}

const fn get<'a>(path: &'a str, accept: &'static str) -> Call<'a> {
    Call {
        method: Method::GET,
        path,
        accept,
        body: None,
    }
}

fn head(response: &Response<Incoming>) -> (u16, Option<u64>) {
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    (response.status().as_u16(), retry_after)
}

async fn each_chunk(
    mut body: Incoming,
    mut take: impl FnMut(&[u8]) -> Result<(), CallError>,
) -> Result<(), CallError> {
    while let Some(frame) = body.frame().await {
        if let Ok(chunk) = frame.map_err(CallError::Broken)?.into_data() {
            take(&chunk)?;
        }
    }
    Ok(())
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client certificate. What is wrong with it is told without its text.
fn identity(user: &AuthInfo) -> Result<Option<Identity>, &'static str> {
    let (Some(certificate), Some(key)) = (&user.client_certificate_data, &user.client_key_data) else {
        return Ok(None);
    };
    const WRONG: &str = "the certificate or key that it embeds is not the base64 of a PEM file";
    let certificate = STANDARD.decode(certificate).map_err(|_| WRONG)?;
    let key = Zeroizing::new(STANDARD.decode(key.expose_secret()).map_err(|_| WRONG)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
    let chain = chain.map_err(|_| WRONG)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| WRONG)?;
    Ok(Some((chain, key)))
}

/// The groups of a client certificate are the organizations of its subject. One that is not understood is in none: the server will
/// refuse it.
fn is_of_masters(certificate: &[u8]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let mut groups = certificate.subject().iter_organization();
    groups.any(|group| group.as_str() == Ok("system:masters"))
}

fn token(user: &AuthInfo) -> Result<Option<HeaderValue>, &'static str> {
    let Some(token) = &user.token else { return Ok(None) };
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| "its token is no token")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn of(organization: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "system:masters");
        if let Some(organization) = organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn flow_control_is_passed_by_the_group_alone() {
        assert!(is_of_masters(&of(Some("system:masters"))));
        assert!(!is_of_masters(&of(Some("kubeadm:cluster-admins"))));
        assert!(!is_of_masters(&of(None)), "a name is no group");
        assert!(!is_of_masters(b"no certificate"));
    }
}
