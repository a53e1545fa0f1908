//! Whether a certificate and a private key belong together, who signed it, and what it may be used for. Of a key nothing is kept but the
//! digest of its public half.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use crate::domain::{Digest, Fact, PairFacts, Usage};

/// A chain of more certificates than this is nobody's.
const DEEPEST: usize = 5;

/// What comes of a certificate (the first of its file; the others are intermediates), its key, and the authorities that may have signed it.
///
/// # Errors
/// Which text cannot be read.
pub fn pair(
    certificate: &[u8],
    key: &[u8],
    authorities: Option<&[u8]>,
    wanted: &[Usage],
) -> Result<PairFacts, String> {
    let chain = certificates(certificate).map_err(|why| format!("the certificate: {why}"))?;
    let parsed: Vec<X509Certificate<'_>> = chain.iter().filter_map(|der| parse(der)).collect();
    let leaf = parsed.first().ok_or("the file of the certificate has none")?;
    let private = private_key(key).map_err(|why| format!("the key: {why}"))?;
    let issued = match authorities {
        None => Fact::Absent,
        Some(authorities) => {
            let known = certificates(authorities).map_err(|why| format!("the authority: {why}"))?;
            let known: Vec<X509Certificate<'_>> = known.iter().filter_map(|der| parse(der)).collect();
            is_issued(leaf, &parsed, &known, DEEPEST)
        }
    };
    Ok(PairFacts {
        subject: leaf.subject().to_string(),
        fits: Digest::of(leaf.public_key().raw) == private,
        issued,
        lacks: lacks(leaf, wanted)?,
        names: names(leaf)?,
    })
}

/// Whether a private key is one of those that a file of keys verifies with (`--service-account-key-file`: public or private keys, or
/// certificates).
///
/// # Errors
/// Which text cannot be read.
pub fn verifies(public: &[u8], private: &[u8]) -> Result<bool, String> {
    let mut known = BTreeSet::new();
    for block in blocks(public).map_err(|why| format!("the public keys: {why}"))? {
        match block.label.as_str() {
            "PUBLIC KEY" => {
                known.insert(Digest::of(&block.contents));
            }
            "CERTIFICATE" => {
                known.extend(parse(&block.contents).map(|one| Digest::of(one.public_key().raw)));
            }
            _ => known.extend(public_half(&block)?),
        }
    }
    if known.is_empty() {
        return Err("the file of public keys has none".to_owned());
    }
    private_key(private)
        .map(|private| known.contains(&private))
        .map_err(|why| format!("the key: {why}"))
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    x509_parser::parse_x509_certificate(der)
        .ok()
        .map(|(_, parsed)| parsed)
}

/// The blocks of a PEM text.
fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for (number, block) in Pem::iter_from_buffer(text).enumerate() {
        let block = block.map_err(|error| format!("block {}: {error}", number + 1))?;
        blocks.push(Block {
            label: block.label,
            contents: Zeroizing::new(block.contents),
        });
    }
    Ok(blocks)
}

struct Block {
    label: String,
    contents: Zeroizing<Vec<u8>>,
}

fn certificates(text: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
    let blocks = blocks(text)?.into_iter();
    let certificates: Vec<_> = blocks
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| block.contents)
        .collect();
    match certificates.iter().position(|der| parse(der).is_none()) {
        Some(number) => Err(format!("number {} is no certificate", number + 1)),
        None => Ok(certificates),
    }
}

/// The public half of the first private key of a text.
fn private_key(text: &[u8]) -> Result<Digest, String> {
    for block in blocks(text)? {
        if let Some(public) = public_half(&block)? {
            return Ok(public);
        }
    }
    Err("there is no private key in the clear".to_owned())
}

/// `None` for a block that is no private key.
fn public_half(block: &Block) -> Result<Option<Digest>, String> {
    let der = block.contents.as_slice();
    let key = match block.label.as_str() {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        _ => return Ok(None),
    };
    // Its own words are about the key's bytes.
    let key = any_supported_type(&key).map_err(|_| "it is of a kind or length that is not understood")?;
    let public = key.public_key().ok_or("its public half cannot be had")?;
    Ok(Some(Digest::of(public.as_ref())))
}

/// Whether one of the known authorities signed it, or one of its own file that they signed.
fn is_issued(
    certificate: &X509Certificate<'_>,
    own: &[X509Certificate<'_>],
    known: &[X509Certificate<'_>],
    left: usize,
) -> Fact<bool> {
    let mut unclear = None;
    for authority in known {
        match signed_by(certificate, authority) {
            Ok(true) => return Fact::Known(true),
            Ok(false) => {}
            Err(why) => unclear = Some(why),
        }
    }
    for between in own.iter().filter(|between| between.is_ca() && left > 0) {
        if signed_by(certificate, between) == Ok(true)
            && is_issued(between, own, known, left.saturating_sub(1)) == Fact::Known(true)
        {
            return Fact::Known(true);
        }
    }
    unclear.map_or(Fact::Known(false), Fact::unknown)
}

fn signed_by(certificate: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> Result<bool, String> {
    if certificate.issuer().as_raw() != authority.subject().as_raw() {
        return Ok(false);
    }
    match certificate.verify_signature(Some(authority.public_key())) {
        Ok(()) => Ok(true),
        Err(X509Error::SignatureVerificationError) => Ok(false),
        Err(error) => Err(format!("its signature cannot be verified: {error}")),
    }
}

fn lacks(leaf: &X509Certificate<'_>, wanted: &[Usage]) -> Result<Vec<Usage>, String> {
    let usage = leaf
        .extended_key_usage()
        .map_err(|_| "extendedKeyUsage stands twice in the certificate")?;
    let Some(usage) = usage else {
        return Ok(Vec::new());
    };
    let allowed = |wanted: &&Usage| {
        usage.value.any
            || match wanted {
                Usage::Server => usage.value.server_auth,
                Usage::Client => usage.value.client_auth,
            }
    };
    Ok(wanted.iter().filter(|wanted| !allowed(wanted)).copied().collect())
}

/// What it is for, as text: DNS names and addresses.
fn names(leaf: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let names = leaf
        .subject_alternative_name()
        .map_err(|_| "subjectAltName stands twice in the certificate, or is not understood")?;
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let named = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            return Some((*name).to_owned());
        }
        let GeneralName::IPAddress(bytes) = name else {
            return None;
        };
        address(bytes)
    };
    Ok(names.value.general_names.iter().filter_map(named).collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four.or(sixteen).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(by: &CertifiedIssuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose) -> (String, KeyPair) {
        let mut params = CertificateParams::new(vec!["node1".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, by).unwrap().pem(), key)
    }

    fn of(certificate: &str, key: &KeyPair, authority: &str, wanted: &[Usage]) -> PairFacts {
        pair(
            certificate.as_bytes(),
            key.serialize_pem().as_bytes(),
            Some(authority.as_bytes()),
            wanted,
        )
        .unwrap()
    }

    #[test]
    fn a_pair_fits_by_its_key_its_authority_and_its_usage() {
        let (ours, theirs) = (authority("ours"), authority("theirs"));
        let (certificate, key) = leaf(&ours, ExtendedKeyUsagePurpose::ClientAuth);
        let good = of(&certificate, &key, &ours.pem(), &[Usage::Client]);
        assert_eq!(
            (good.fits, good.issued, good.lacks),
            (true, Fact::Known(true), Vec::new())
        );
        let both = format!("{}{}", theirs.pem(), ours.pem());
        assert_eq!(of(&certificate, &key, &both, &[]).issued, Fact::Known(true));
        assert_eq!(
            of(&certificate, &key, &theirs.pem(), &[]).issued,
            Fact::Known(false)
        );
        // The same name does not make it the same authority.
        assert_eq!(
            of(&certificate, &key, &authority("ours").pem(), &[]).issued,
            Fact::Known(false)
        );
        let other = KeyPair::generate().unwrap();
        assert!(!of(&certificate, &other, &ours.pem(), &[]).fits);
        let lacks = of(&certificate, &key, &ours.pem(), &[Usage::Server, Usage::Client]).lacks;
        assert_eq!(lacks, [Usage::Server]);
    }

    #[test]
    fn an_intermediate_of_the_same_file_leads_to_the_authority() {
        let root = authority("root");
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "between");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        let (certificate, key) = leaf(&between, ExtendedKeyUsagePurpose::ServerAuth);
        let chain = format!("{certificate}{}", between.pem());
        assert_eq!(of(&chain, &key, &root.pem(), &[]).issued, Fact::Known(true));
        assert_eq!(
            of(&certificate, &key, &root.pem(), &[]).issued,
            Fact::Known(false)
        );
    }

    #[test]
    fn a_signing_key_is_among_those_that_verify() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let public = format!("{}{}", other.public_key_pem(), one.public_key_pem());
        let holds = |public: &str| verifies(public.as_bytes(), one.serialize_pem().as_bytes());
        assert_eq!(holds(&public), Ok(true));
        assert_eq!(holds(&other.public_key_pem()), Ok(false));
        assert_eq!(
            holds(&one.serialize_pem()),
            Ok(true),
            "a private key verifies, too"
        );
        holds("").unwrap_err();
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_bytes() {
        let ours = authority("ours");
        let (certificate, key) = leaf(&ours, ExtendedKeyUsagePurpose::ClientAuth);
        let torn = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let why = pair(certificate.as_bytes(), torn.as_bytes(), None, &[]).unwrap_err();
        assert_eq!(why, "the key: it is of a kind or length that is not understood");
        pair(b"", key.serialize_pem().as_bytes(), None, &[]).unwrap_err();
        pair(certificate.as_bytes(), b"", None, &[]).unwrap_err();
    }
}
