use std::sync::Arc;

use hyper::body::Bytes;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::*;
use crate::adapters::etcd::{MemberListResponse, Tls};
use crate::census::{MAX_REQUEST_BYTES, Paths};

fn member(id: u64, name: &str) -> Member {
    Member {
        id,
        name: name.to_owned(),
        peer_urls: Vec::new(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn two_members_never_count_as_one() {
    let members = vec![
        member(1, "cp"),
        member(2, "cp"),
        member(0xab, ""),
        member(0xcd, ""),
    ];
    assert_eq!(names(members), set(&["cp", "cp(2)", "(ab)", "(cd)"]));
}

/// An authority, and a certificate of it for 127.0.0.1 that serves and asks: all as PEM.
struct Pki {
    authority: String,
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap()
            .pem();
        Self {
            authority,
            certificate,
            key: key.serialize_pem(),
        }
    }

    fn tls(&self) -> Tls {
        Tls {
            authority: self.authority.clone().into_bytes(),
            identity: Some((
                self.certificate.clone().into_bytes(),
                Zeroizing::new(self.key.clone().into_bytes()),
            )),
        }
    }

    /// A server that takes only clients with a certificate of the authority.
    fn server(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap())
            .unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .build()
        .unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// Answers one call as etcd does: with members, or with an error in the trailers.
async fn serve(listener: TcpListener, config: rustls::ServerConfig, members: Result<Vec<Member>, &str>) {
    let (stream, _) = listener.accept().await.unwrap();
    let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config))
        .accept(stream)
        .await
    else {
        return;
    };
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/etcdserverpb.Cluster/MemberList");
        let answer = http::Response::builder().header("content-type", "application/grpc");
        match &members {
            Ok(members) => {
                let members = members.clone();
                let message = MemberListResponse { members }.encode_to_vec();
                let mut frame = vec![0];
                frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
                frame.extend(message);
                let mut body = respond.send_response(answer.body(()).unwrap(), false).unwrap();
                body.send_data(Bytes::from(frame), false).unwrap();
                let trailers = [(http::HeaderName::from_static("grpc-status"), "0".parse().unwrap())];
                body.send_trailers(trailers.into_iter().collect()).unwrap();
            }
            Err(message) => {
                let answer = answer
                    .header("grpc-status", "14")
                    .header("grpc-message", *message);
                respond.send_response(answer.body(()).unwrap(), true).unwrap();
            }
        }
    }
}

/// What a server says that answers so, and its endpoint.
fn asked(server: &Pki, client: &Pki, answer: Result<Vec<Member>, &str>) -> (Fact<BTreeSet<String>>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let access = Access {
            endpoints: vec![endpoint.clone()],
            tls: Some(client.tls()),
            paths: Paths::new("/registry").unwrap(),
            max_request_bytes: MAX_REQUEST_BYTES,
        };
        let serving = serve(listener, server.server(), answer);
        let asking = members(&access, Duration::from_secs(5));
        tokio::select! {
            fact = asking => (fact, endpoint),
            fact = async { serving.await; std::future::pending().await } => fact,
        }
    })
}

#[test]
fn an_etcd_with_client_certificates_names_its_members() {
    let pki = Pki::new();
    let (fact, _) = asked(&pki, &pki, Ok(vec![member(1, "cp-1"), member(2, "cp-2")]));
    assert_eq!(fact, Fact::Known(set(&["cp-1", "cp-2"])));
}

#[test]
fn an_etcd_without_quorum_is_unknown_in_its_own_words() {
    let pki = Pki::new();
    let (fact, endpoint) = asked(&pki, &pki, Err("etcdserver: no leader"));
    assert_eq!(
        fact,
        Fact::unknown(format!("etcd at {endpoint}: etcdserver: no leader"))
    );
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let (fact, _) = asked(&Pki::new(), &Pki::new(), Ok(vec![member(1, "cp-1")]));
    let Fact::Unknown(reason) = fact else {
        panic!("{fact:?}")
    };
    assert!(reason.as_str().contains("invalid peer certificate"), "{reason}");
}

#[test]
fn a_key_that_is_none_is_not_told() {
    let mut broken = Pki::new();
    broken.key = broken.key.replace("PRIVATE KEY", "PRIVATE THING");
    let secret: String = broken.key.lines().nth(1).unwrap().chars().take(16).collect();
    let (fact, _) = asked(&Pki::new(), &broken, Ok(Vec::new()));
    let Fact::Unknown(reason) = fact else {
        panic!("{fact:?}")
    };
    assert!(!reason.as_str().contains(&secret), "{reason}");
}

#[test]
fn a_hanging_endpoint_is_given_up_and_the_next_one_asked() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = [&silent, &closed].map(|listener| format!("https://{}", listener.local_addr().unwrap()));
    drop(closed);
    let access = Access {
        endpoints: endpoints.to_vec(),
        tls: Some(Pki::new().tls()),
        paths: Paths::new("/registry").unwrap(),
        max_request_bytes: MAX_REQUEST_BYTES,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let fact = runtime.block_on(members(&access, Duration::from_millis(150)));
    let [silent, closed] = endpoints;
    let Fact::Unknown(reason) = fact else {
        panic!("{fact:?}")
    };
    let expected = format!("etcd at {silent}: no answer within 150ms; etcd at {closed}: transport error: ");
    assert!(reason.as_str().starts_with(&expected), "{reason}");
    assert!(reason.as_str().contains("Connection refused"), "{reason}");
}
