//! Encryption at rest as the API server does it, written a second time, so that an error of Holdfast's own reader is not repeated here:
//! an `EncryptionConfiguration` of `secrets` with aescbc, secretbox and identity, and the values that it stores and reads.

use aes::Aes256;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use sha2::{Digest as _, Sha256};

const IV: usize = 16;

/// A configuration that an API server has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtRest {
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub hash: String,
    /// What reads, in order; the first writes. `None` is identity.
    pub providers: Vec<Option<Key>>,
}

/// A key of provider aescbc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    bytes: Vec<u8>,
}

impl AtRest {
    /// The configuration of these bytes, or why an API server would not start with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: serde_json::Value = serde_yaml::from_slice(bytes).map_err(|error| error.to_string())?;
        if file["kind"] != "EncryptionConfiguration" {
            return Err("it is no EncryptionConfiguration".to_owned());
        }
        let mut providers = Vec::new();
        // Of several entries, the one that serves secrets.
        let covers = |entry: &&serde_json::Value| {
            let resources = entry["resources"].as_array().into_iter().flatten();
            let mut names = resources.filter_map(|resource| resource.as_str());
            names.any(|name| ["secrets", "*.*"].contains(&name))
        };
        let entries = file["resources"].as_array().map_or(&[][..], Vec::as_slice);
        let entry = entries.iter().find(covers).unwrap_or(&file["resources"][0]);
        for provider in entry["providers"].as_array().into_iter().flatten() {
            if provider.get("identity").is_some() {
                providers.push(None);
                continue;
            }
            let keys = provider["aescbc"]["keys"]
                .as_array()
                .ok_or("a provider without keys")?;
            for key in keys {
                let text = |field: &str| key[field].as_str().ok_or("a key without name or secret");
                let bytes = BASE64_STANDARD
                    .decode(text("secret")?)
                    .map_err(|error| error.to_string())?;
                if bytes.len() != 32 {
                    return Err("a key of another length".to_owned());
                }
                let name = text("name")?.to_owned();
                if providers.iter().flatten().any(|other: &Key| other.name == name) {
                    return Err(format!("two keys have the name {name}"));
                }
                providers.push(Some(Key { name, bytes }));
            }
        }
        if providers.is_empty() {
            return Err("it has no provider".to_owned());
        }
        let hash = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self { hash, providers })
    }

    /// What is stored for an object.
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let Some(key) = &self.providers[0] else {
            return plain.to_vec();
        };
        let mut iv = [0; IV];
        getrandom::fill(&mut iv).expect("random bytes");
        let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&key.bytes, &iv).expect("32 bytes");
        let sealed = cipher.encrypt_padded_vec::<Pkcs7>(plain);
        [prefix(&key.name).as_bytes(), &iv, &sealed].concat()
    }

    /// The object of a stored value, and whether it would be written anew; `None` when no key of this configuration reads it.
    pub fn open(&self, value: &[u8]) -> Option<(Vec<u8>, bool)> {
        let (at, plain) = self.providers.iter().enumerate().find_map(|(at, provider)| {
            let plain = match provider {
                None => (!value.starts_with(b"k8s:enc:")).then(|| value.to_vec()),
                Some(key) => value.strip_prefix(prefix(&key.name).as_bytes()).and_then(|rest| {
                    let (iv, sealed) = rest.split_at_checked(IV)?;
                    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&key.bytes, iv).ok()?;
                    cipher.decrypt_padded_vec::<Pkcs7>(sealed).ok()
                }),
            };
            plain
                .filter(|plain| plain.starts_with(b"{"))
                .map(|plain| (at, plain))
        })?;
        Some((plain, at > 0))
    }

    /// The names of its keys, `identity` among them.
    pub fn names(&self) -> Vec<&str> {
        self.providers
            .iter()
            .map(|provider| provider.as_ref().map_or("identity", |key| key.name.as_str()))
            .collect()
    }

    /// True when it reads with that very key.
    pub fn has(&self, key: &Key) -> bool {
        self.providers.iter().flatten().any(|one| one == key)
    }
}

fn prefix(name: &str) -> String {
    format!("k8s:enc:aescbc:v1:{name}:")
}

/// The name of the key that a value is under, by what it begins with.
pub fn key_of(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.strip_prefix("k8s:enc:aescbc:v1:") {
        Some(rest) => rest.split(':').next().unwrap_or_default().to_owned(),
        None => "identity".to_owned(),
    }
}
