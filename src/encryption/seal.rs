//! Encrypting as the API server does it, for tests only: Holdfast itself never writes a value.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use poly1305::Poly1305;
use salsa20::XSalsa20;
use salsa20::cipher::StreamCipher;

use super::NamedKey;
use super::envelope::prefix;
use crate::domain::Provider;

/// The stored value of `plain`. `noise` gives IV or nonce: 24 bytes, of which the provider takes what it needs.
pub(crate) fn seal(
    plain: &[u8],
    provider: Provider,
    key: &NamedKey,
    etcd_path: &[u8],
    noise: [u8; 24],
) -> Vec<u8> {
    let secret = key.secret.expose();
    let mut value = prefix(provider, &key.name).into_bytes();
    value.extend(match (provider, secret.len()) {
        (Provider::Aescbc, 16) => aescbc::<cbc::Encryptor<Aes128>>(plain, secret, &noise[..16]),
        (Provider::Aescbc, 24) => aescbc::<cbc::Encryptor<Aes192>>(plain, secret, &noise[..16]),
        (Provider::Aescbc, _) => aescbc::<cbc::Encryptor<Aes256>>(plain, secret, &noise[..16]),
        (Provider::Aesgcm, 16) => aesgcm::<AesGcm<Aes128, U12>>(plain, secret, etcd_path, &noise[..12]),
        (Provider::Aesgcm, 24) => aesgcm::<AesGcm<Aes192, U12>>(plain, secret, etcd_path, &noise[..12]),
        (Provider::Aesgcm, _) => aesgcm::<AesGcm<Aes256, U12>>(plain, secret, etcd_path, &noise[..12]),
        (Provider::Secretbox, _) => secretbox(plain, secret, &noise),
    });
    value
}

fn aescbc<C: KeyIvInit + BlockModeEncrypt>(plain: &[u8], key: &[u8], iv: &[u8]) -> Vec<u8> {
    let cipher = C::new_from_slices(key, iv).unwrap();
    [iv.to_vec(), cipher.encrypt_padded_vec::<Pkcs7>(plain)].concat()
}

fn aesgcm<C: AeadInOut + KeyInit>(plain: &[u8], key: &[u8], etcd_path: &[u8], nonce: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let tag = C::new_from_slice(key)
        .unwrap()
        .encrypt_inout_detached(nonce.try_into().unwrap(), etcd_path, sealed.as_mut_slice().into())
        .unwrap();
    [nonce, &sealed, &tag].concat()
}

fn secretbox(plain: &[u8], key: &[u8], nonce: &[u8]) -> Vec<u8> {
    let mut stream = XSalsa20::new_from_slices(key, nonce).unwrap();
    let mut tag_key = [0; 32];
    stream.apply_keystream(&mut tag_key);
    let mut sealed = plain.to_vec();
    stream.apply_keystream(&mut sealed);
    let tag = Poly1305::new_from_slice(&tag_key)
        .unwrap()
        .compute_unpadded(&sealed);
    [nonce, &tag, &sealed].concat()
}
