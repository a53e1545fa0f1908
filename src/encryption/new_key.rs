//! The name of a new key: made once, never reused, and never to be confused with another.

use super::config::EncryptionConfig;
use crate::domain::KeyName;

/// `hf<generation>-<8 hexadecimal digits>`: lower case, no colon, the generation for people, the random part so that a name which
/// was made and lost does not come again. `random` comes from the kernel.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "only the empty name is refused, and this one begins with hf"
)]
pub fn new_key_name(generation: u64, random: [u8; 4]) -> KeyName {
    let number = u32::from_be_bytes(random);
    KeyName::try_from(format!("hf{generation}-{number:08x}")).expect("the name is not empty")
}

/// True when no key of the configuration and no name seen elsewhere (in etcd, among retained and burnt keys) is the same, under
/// whatever provider, and no prefix in etcd of one (`name:`) begins the other's.
#[must_use]
pub fn is_name_free<'n>(
    name: &KeyName,
    config: &EncryptionConfig,
    seen: impl IntoIterator<Item = &'n KeyName>,
) -> bool {
    let differs = |other: &KeyName| are_distinct(name, other);
    config.keys().all(|(_, key)| differs(&key.name)) && seen.into_iter().all(differs)
}

/// True when stored values tell which of two keys of one provider they are under: what stands before them is the name and a colon
/// (`k8s:enc:aescbc:v1:NAME:`), so `h` is told from `h2`, and not from `h:2`.
#[must_use]
pub fn are_distinct(one: &KeyName, other: &KeyName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let begins = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with(':'));
    one != other && !begins(one, other) && !begins(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::parse;
    use crate::encryption::testing::config_text;

    #[test]
    fn a_new_name_tells_its_generation_and_has_no_colon() {
        assert_eq!(new_key_name(7, [0, 0xab, 0xcd, 0xef]).as_str(), "hf7-00abcdef");
        assert_eq!(
            new_key_name(u64::MAX, [0; 4]).as_str(),
            "hf18446744073709551615-00000000"
        );
    }

    #[test]
    fn a_name_is_free_unless_it_or_a_prefix_of_it_is_known_anywhere() {
        let config =
            parse(config_text(&[("secrets", "aescbc:key1 secretbox:a:b kms:k")]).as_bytes()).unwrap();
        let seen: Vec<KeyName> = ["burnt", "hf1:x"].map(|name| name.parse().unwrap()).to_vec();
        for (name, free) in [
            ("hf2-00000000", true),
            ("key1", false),
            ("key10", true),
            ("key", true),
            ("a", false),
            ("a:b:c", false),
            ("b", true),
            ("burnt", false),
            ("hf1", false),
        ] {
            let name: KeyName = name.parse().unwrap();
            assert_eq!(is_name_free(&name, &config, &seen), free, "{name}");
        }
    }
}
