//! Decrypting a stored value, as the proof that a key is the one.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyIvInit};
use poly1305::Poly1305;
use salsa20::XSalsa20;
use salsa20::cipher::StreamCipher;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::config::NamedKey;
use super::envelope::{begins_like_object, prefix};
use crate::domain::Provider;

const BLOCK: usize = 16;
const GCM_NONCE: usize = 12;
const BOX_NONCE: usize = 24;
const TAG: usize = 16;

/// Why a value does not decrypt. Nothing of value or key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecryptable {
    /// The value does not name the key.
    #[error("the value is not under this key")]
    OtherKey,
    /// The key has a length that the provider does not take.
    #[error("the key has a length that its provider does not take")]
    KeyLength,
    /// The value is cut off.
    #[error("the value is too short or cut off")]
    Truncated,
    /// The padding is wrong: another key of this name, or a damaged value.
    #[error("the value does not decrypt: another key has this name, or the value is damaged")]
    Padding,
    /// The authentication fails: another key of this name, or a value that was damaged or moved.
    #[error("the value does not authenticate: another key has this name, or the value was damaged or moved")]
    Authentication,
}

/// Decrypts a whole stored value, its prefix included. `etcd_path` is its key in etcd (`/registry/secrets/default/name`), which
/// aesgcm authenticates with it.
///
/// With aescbc success proves little: padding accepts one wrong key in 256. Ask [`looks_like_object`], too.
///
/// # Errors
///
/// Why it does not decrypt.
pub fn decrypt(
    value: &[u8],
    provider: Provider,
    key: &NamedKey,
    etcd_path: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Undecryptable> {
    let body = value
        .strip_prefix(prefix(provider, &key.name).as_bytes())
        .ok_or(Undecryptable::OtherKey)?;
    let secret = key.secret.expose();
    match (provider, secret.len()) {
        (Provider::Aescbc, 16) => aescbc::<Aes128>(body, secret),
        (Provider::Aescbc, 24) => aescbc::<Aes192>(body, secret),
        (Provider::Aescbc, 32) => aescbc::<Aes256>(body, secret),
        (Provider::Aesgcm, 16) => aesgcm::<AesGcm<Aes128, U12>>(body, secret, etcd_path),
        (Provider::Aesgcm, 24) => aesgcm::<AesGcm<Aes192, U12>>(body, secret, etcd_path),
        (Provider::Aesgcm, 32) => aesgcm::<AesGcm<Aes256, U12>>(body, secret, etcd_path),
        (Provider::Secretbox, 32) => secretbox(body, secret),
        (Provider::Aescbc | Provider::Aesgcm | Provider::Secretbox, _) => Err(Undecryptable::KeyLength),
    }
}

/// True when the bytes are an object as the API server stores it. Protobuf begins with four fixed bytes; JSON must begin and end with
/// its braces and be text, since one wrong key in 256 gives a brace, too. (CBOR: as protobuf, three bytes.)
#[must_use]
pub fn looks_like_object(plain: &[u8]) -> bool {
    if plain.first() != Some(&b'{') {
        return begins_like_object(plain);
    }
    plain.trim_ascii_end().ends_with(b"}") && plain.len() > 1 && std::str::from_utf8(plain).is_ok()
}

/// IV, then blocks with PKCS#7 padding. Upstream's padding check also takes more than a block's worth; no server ever wrote that.
fn aescbc<C>(body: &[u8], key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Undecryptable>
where
    C: BlockCipherDecrypt + KeyInit,
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let (iv, blocks) = body.split_at_checked(BLOCK).ok_or(Undecryptable::Truncated)?;
    // Upstream would index an empty slice here.
    if blocks.is_empty() || blocks.len() % BLOCK != 0 {
        return Err(Undecryptable::Truncated);
    }
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| Undecryptable::KeyLength)?;
    let mut plain = Zeroizing::new(blocks.to_vec());
    let length = cipher
        .decrypt_padded::<Pkcs7>(&mut plain)
        .map_err(|_| Undecryptable::Padding)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

/// Nonce, ciphertext, tag.
fn aesgcm<C: AeadInOut + KeyInit>(
    body: &[u8],
    key: &[u8],
    etcd_path: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Undecryptable> {
    let (nonce, rest) = body.split_at_checked(GCM_NONCE).ok_or(Undecryptable::Truncated)?;
    let sealed = rest.len().checked_sub(TAG).ok_or(Undecryptable::Truncated)?;
    let (sealed, tag) = rest.split_at_checked(sealed).ok_or(Undecryptable::Truncated)?;
    let nonce = nonce.try_into().map_err(|_| Undecryptable::Truncated)?;
    let tag = tag.try_into().map_err(|_| Undecryptable::Truncated)?;
    let cipher = C::new_from_slice(key).map_err(|_| Undecryptable::KeyLength)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt_inout_detached(nonce, etcd_path, plain.as_mut_slice().into(), tag)
        .map_err(|_| Undecryptable::Authentication)?;
    Ok(plain)
}

/// NaCl's secretbox: nonce, tag, ciphertext. The key stream's first 32 bytes are the key of the tag.
fn secretbox(body: &[u8], key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Undecryptable> {
    let (nonce, rest) = body.split_at_checked(BOX_NONCE).ok_or(Undecryptable::Truncated)?;
    let (tag, sealed) = rest.split_at_checked(TAG).ok_or(Undecryptable::Truncated)?;
    let mut stream = XSalsa20::new_from_slices(key, nonce).map_err(|_| Undecryptable::KeyLength)?;
    let mut tag_key = Zeroizing::new([0; 32]);
    stream.apply_keystream(tag_key.as_mut_slice());
    let authenticator = Poly1305::new_from_slice(tag_key.as_slice()).map_err(|_| Undecryptable::KeyLength)?;
    if !bool::from(authenticator.compute_unpadded(sealed).ct_eq(tag)) {
        return Err(Undecryptable::Authentication);
    }
    let mut plain = Zeroizing::new(sealed.to_vec());
    stream.apply_keystream(&mut plain);
    Ok(plain)
}

#[cfg(test)]
#[path = "decrypt_tests.rs"]
mod tests;
