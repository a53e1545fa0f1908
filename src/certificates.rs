//! Reads certificates out of PEM files and kubeconfigs. What else such a text holds, as keys, is neither kept nor told.

use base64::Engine as _;
use serde::Deserialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519};
use x509_parser::pem::Pem;
use x509_parser::public_key::PublicKey as Parsed;

use crate::domain::{Certificate, Digest, PublicKey};

/// The certificates of a PEM text, in its order.
///
/// # Errors
/// Which block cannot be read.
pub fn of_pem(text: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    for (number, block) in Pem::iter_from_buffer(text).enumerate() {
        let block = block.map_err(|error| format!("block {}: {error}", number + 1))?;
        // A private key may lie beside its certificate.
        if block.label == "CERTIFICATE" {
            let (_, certificate) = x509_parser::parse_x509_certificate(&block.contents)
                .map_err(|error| format!("block {}: {error}", number + 1))?;
            certificates.push(of(&certificate).map_err(|why| format!("block {}: {why}", number + 1))?);
        }
    }
    Ok(certificates)
}

/// The client certificates that a kubeconfig embeds; none where it names files or tokens.
///
/// # Errors
/// When it is no kubeconfig, or a certificate cannot be read. Its text holds keys, so only the place is told.
pub fn of_kubeconfig(text: &[u8]) -> Result<Vec<Certificate>, String> {
    let kubeconfig: Kubeconfig = serde_yaml::from_slice(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        format!("it is no kubeconfig{place}")
    })?;
    let mut certificates = Vec::new();
    for user in kubeconfig.users {
        let Some(data) = user.user.certificate else {
            continue;
        };
        let pem = base64::prelude::BASE64_STANDARD.decode(data);
        let pem = pem.map_err(|_| "its client-certificate-data is not base64".to_owned())?;
        certificates.append(&mut of_pem(&pem)?);
    }
    Ok(certificates)
}

#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "client-certificate-data")]
    certificate: Option<String>,
}

fn of(certificate: &X509Certificate<'_>) -> Result<Certificate, String> {
    let time = |what: &str, time: x509_parser::time::ASN1Time| {
        jiff::Timestamp::from_second(time.timestamp()).map_err(|error| format!("its {what}: {error}"))
    };
    let validity = certificate.validity();
    let key = certificate.public_key();
    let is_self_signed = certificate.subject() == certificate.issuer();
    Ok(Certificate {
        subject: certificate.subject().to_string(),
        is_authority: certificate.is_ca(),
        not_before: time("notBefore", validity.not_before)?,
        not_after: time("notAfter", validity.not_after)?,
        key: match key.parsed() {
            Ok(Parsed::RSA(rsa)) if key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION => {
                PublicKey::Rsa(rsa.key_size())
            }
            Ok(Parsed::EC(point)) if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY => {
                PublicKey::Curve(point.key_size())
            }
            Ok(_) | Err(_) if key.algorithm.algorithm == OID_SIG_ED25519 => PublicKey::Ed25519,
            Ok(_) | Err(_) => PublicKey::Other(key.algorithm.algorithm.to_id_string()),
        },
        public_key: Digest::of(key.raw),
        weak_hash: weak_hash(&certificate.signature_algorithm.algorithm.to_id_string())
            .filter(|_| !is_self_signed),
    })
}

/// The hash of a signature algorithm, if collisions of it can be made (RFC 3279, RFC 4055).
fn weak_hash(algorithm: &str) -> Option<&'static str> {
    match algorithm {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" | "1.3.14.3.2.29" => Some("SHA-1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(edit: impl FnOnce(&mut rcgen::CertificateParams)) -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["node1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "kube-apiserver");
        edit(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap()
    }

    #[test]
    fn a_certificate_is_read_beside_a_private_key_and_others() {
        let leaf = made(|params| params.not_after = rcgen::date_time_ymd(2030, 1, 2));
        let authority = made(|params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        let text = format!(
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n{}{}",
            leaf.pem(),
            authority.pem()
        );
        let read = of_pem(text.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].subject, "CN=kube-apiserver");
        assert_eq!(read[0].not_after.to_string(), "2030-01-02T00:00:00Z");
        assert_eq!(read[0].key, PublicKey::Curve(256));
        assert_eq!((read[0].is_authority, read[1].is_authority), (false, true));
        assert_ne!(read[0].public_key, read[1].public_key);
        assert_eq!(read[0].weak_hash, None);
    }

    #[test]
    fn a_kubeconfig_shows_the_certificates_that_it_embeds_and_nothing_else() {
        let pem = made(|_| {}).pem();
        let data = base64::prelude::BASE64_STANDARD.encode(&pem);
        let text = format!(
            "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    client-certificate-data: {data}\n    client-key-data: c2VjcmV0\n\
             - name: b\n  user: {{ token: x }}\n"
        );
        assert_eq!(of_kubeconfig(text.as_bytes()), of_pem(pem.as_bytes()));
        assert_eq!(of_kubeconfig(b"apiVersion: v1\n"), Ok(Vec::new()));
        let torn = text.replace(&data, "???");
        assert_eq!(
            of_kubeconfig(torn.as_bytes()),
            Err("its client-certificate-data is not base64".to_owned())
        );
        let why = of_kubeconfig(b"users: [{name: a, user: client-key-data}]").unwrap_err();
        assert!(!why.contains("client-key-data"), "{why}");
    }

    #[test]
    fn what_is_no_certificate_is_named_by_its_place() {
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(of_pem(torn.as_bytes()).unwrap_err().starts_with("block 1: "));
        assert_eq!(of_pem(b""), Ok(Vec::new()));
        assert_eq!(of_pem(b"no PEM at all\n"), Ok(Vec::new()));
    }

    #[test]
    fn keys_are_weak_below_112_bits_of_security_and_hashes_with_collisions_are_named() {
        for (key, weak) in [
            (PublicKey::Rsa(1024), true),
            (PublicKey::Rsa(2047), true),
            (PublicKey::Rsa(2048), false),
            (PublicKey::Curve(192), true),
            (PublicKey::Curve(256), false),
            (PublicKey::Ed25519, false),
            (PublicKey::Other("1.2.840.10040.4.1".to_owned()), true),
        ] {
            assert_eq!(key.is_weak(), weak, "{key}");
        }
        assert_eq!(weak_hash("1.2.840.113549.1.1.5"), Some("SHA-1"));
        assert_eq!(weak_hash("1.2.840.113549.1.1.11"), None, "SHA-256 with RSA");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let body = base64::prelude::BASE64_STANDARD.encode(&bytes);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
            let read = [of_kubeconfig(&bytes), of_pem(&bytes), of_pem(pem.as_bytes())];
            let counts = read.map(|read| read.map_or(0, |certificates| certificates.len()));
            proptest::prop_assert!(counts.iter().all(|count| *count <= 1), "{:?}", counts);
        }
    }
}
