//! The next configuration: the one on disk, brought to the keys that are wanted.

use zeroize::Zeroizing;

use super::RotateError;
use crate::at_rest::Configured;
use crate::encryption::edit::NewKey;
use crate::encryption::{SharedChain, parse, write};
use crate::rotation::Chain;

/// The bytes of the configuration with these keys, in all entries that a rotation may edit.
///
/// # Errors
/// When it cannot be, or what would be written is not exactly what is wanted.
pub(super) fn to_chain(
    configured: &Configured,
    wanted: &Chain,
    new: Option<&NewKey>,
) -> Result<Zeroizing<Vec<u8>>, RotateError> {
    let mut config = configured.config.clone();
    let entries = config.static_entries();
    let has = |config: &crate::encryption::EncryptionConfig| match config.shared_chain() {
        SharedChain::Shared(chain) => chain,
        SharedChain::Differing | SharedChain::NoEntry => Vec::new(),
    };
    let missing = wanted.keys().any(|key| !has(&config).contains(key));
    if let Some(new) = new.filter(|_| missing) {
        config = config.with_read_key(&entries, new)?;
    }
    if has(&config).first() != Some(wanted.write_key()) {
        config = config.promoted(&entries, wanted.write_key())?;
    }
    for key in has(&config) {
        if !wanted.reads(&key) {
            config = config.without(&entries, &key)?;
        }
    }
    let bytes = write(&config);
    // What is read back counts, not what was meant.
    let found = parse(&bytes).map(|config| has(&config)).unwrap_or_default();
    let meant: Vec<_> = wanted.keys().cloned().collect();
    if found == meant {
        return Ok(bytes);
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    Err(RotateError::Render {
        found: format!("[{}]", found.join(", ")),
        wanted: wanted.to_string(),
    })
}
