//! Tests of the reader: upstream's verdicts, places, round trips, and that no error says what stands in the file.

use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::encryption::testing::{bytes_of, config_text, named};
use crate::encryption::{Kms, KmsVersion, ResourceProblem, token, write};

/// What kube-apiserver 1.35.4 said to each file (`LoadEncryptionConfig`, KMS v1 allowed, no automatic reload).
const VERDICTS: &str = include_str!("fixtures/verdicts.json");

/// What upstream takes and is refused here: see [`parse`].
const STRICTER: [&str; 5] = [
    "dots only",
    "empty group segment",
    "own tag",
    "binary tag",
    "kms cachesize fraction",
];

#[derive(serde::Deserialize)]
struct Verdict {
    name: String,
    accepted: bool,
    text: String,
}

fn verdicts() -> Vec<Verdict> {
    serde_json::from_str(VERDICTS).unwrap()
}

fn error_of(text: &str) -> ParseError {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn every_file_is_accepted_or_refused_as_by_the_api_server() {
    let verdicts = verdicts();
    assert!(verdicts.len() > 150);
    let mut differing = Vec::new();
    for verdict in &verdicts {
        let read = parse(verdict.text.as_bytes());
        let expected = verdict.accepted && !STRICTER.contains(&verdict.name.as_str());
        if read.is_ok() != expected {
            differing.push((&verdict.name, read.err()));
        }
    }
    assert_eq!(differing, []);
}

#[test]
fn every_accepted_file_means_the_same_after_it_was_written_anew() {
    let configs: Vec<_> = verdicts()
        .iter()
        .filter_map(|verdict| parse(verdict.text.as_bytes()).ok())
        .collect();
    assert!(configs.len() > 40);
    for config in configs {
        let written = write(&config);
        assert_eq!(parse(&written), Ok(config.clone()));
        assert_eq!(write(&parse(&written).unwrap()), written);
        assert_eq!(token(&config), crate::domain::Digest::of(&written));
    }
}

#[test]
fn an_error_names_the_field_and_its_place() {
    let good = config_text(&[("secrets", "aescbc:a,b"), ("configmaps", "kms:k identity")]);
    let secret = BASE64_STANDARD.encode(bytes_of("b"));
    let aescbc = "resources[0].providers[0].aescbc.keys[1]";
    let key_length = ParseErrorKind::KeyLength {
        bytes: 17,
        provider: Provider::Aescbc,
        takes: "16, 24 or 32",
    };
    let capitals = ParseErrorKind::Resource(ResourceProblem::Capitals);
    let no_endpoint = ParseErrorKind::Kms("the endpoint must be a unix: URL");
    let own_secret = format!("{aescbc}.secret");
    let (identity, endpoint) = (
        "resources[1].providers[1].identity",
        "resources[1].providers[0].kms.endpoint",
    );
    #[rustfmt::skip]
    let cases = [
        (secret.as_str(), "c2VjcmV0IGlzIHNlY3VyZSE=", own_secret.as_str(), (12, 17), key_length),
        (&secret, "nothing", &own_secret, (12, 17), ParseErrorKind::NotBase64),
        ("name: 'b'", "nmae: 'b'", aescbc, (11, 9), ParseErrorKind::UnknownField),
        ("identity: {}", "identity: x", identity, (17, 15), ParseErrorKind::Expected("a mapping")),
        ("'configmaps'", "'Configmaps'", "resources[1].resources[0]", (14, 6), capitals),
        ("endpoint: 'unix:///k.sock', ", "", endpoint, (16, 11), no_endpoint),
    ];
    for (from, to, path, position, kind) in cases {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let expected = ParseError {
            path: path.to_owned(),
            position: Some(position),
            kind,
        };
        assert_eq!(error_of(&bad), expected, "{to}");
    }
}

#[test]
fn an_error_reads_as_a_sentence_with_its_place() {
    let error = error_of(&config_text(&[("secrets", "identity")]).replace("'secrets'", "'*'"));
    assert_eq!(
        error.to_string(),
        "EncryptionConfiguration, line 5, column 6, resources[0].resources[0]: write '*.' for all of the core group, or '*.*' for \
         all resources"
    );
}

#[test]
fn what_is_no_text_or_too_much_of_it_is_said_to_be_so() {
    let kind = |bytes: &[u8]| parse(bytes).unwrap_err().kind;
    assert_eq!(kind(&vec![b'#'; MAX_BYTES + 1]), ParseErrorKind::TooLarge);
    assert_eq!(kind(b"\xef\xbb\xbfkind: x"), ParseErrorKind::ByteOrderMark);
    assert_eq!(kind(b"\xff\xfek"), ParseErrorKind::NotText);
    assert_eq!(kind(b""), ParseErrorKind::OtherKind);
    assert_eq!(kind(b"{\"kind\": "), ParseErrorKind::Syntax);
}

#[test]
fn a_key_is_its_bytes_whatever_the_line_breaks() {
    let text = config_text(&[("secrets", "aescbc:a")]);
    let secret = BASE64_STANDARD.encode(bytes_of("a"));
    let (start, end) = secret.split_at(20);
    let broken = text.replace(&secret, &format!("|\n          {start}\n          {end}\n"));
    let config = parse(broken.as_bytes()).unwrap();
    assert_eq!(
        config.entries[0].providers,
        [ProviderEntry::Keys {
            provider: Provider::Aescbc,
            keys: vec![named("a")],
        }]
    );
    assert_eq!(config, parse(text.as_bytes()).unwrap());
}

#[test]
fn a_kms_element_is_carried_as_it_is() {
    let text = config_text(&[("secrets", "kms:k")]);
    let config = parse(text.as_bytes()).unwrap();
    assert_eq!(
        config.entries[0].providers,
        [ProviderEntry::Kms(Kms {
            api_version: Some(KmsVersion::V2),
            name: "k".to_owned(),
            cache_size: None,
            endpoint: "unix:///k.sock".to_owned(),
            timeout: Some("3s".to_owned()),
        })]
    );
    let v1 = text
        .replace("apiVersion: v2, ", "cachesize: -3, ")
        .replace(", timeout: 3s", "");
    let config = parse(v1.as_bytes()).unwrap();
    assert_eq!(
        config.entries[0].providers,
        [ProviderEntry::Kms(Kms {
            api_version: None,
            name: "k".to_owned(),
            cache_size: Some(-3),
            endpoint: "unix:///k.sock".to_owned(),
            timeout: None,
        })]
    );
}

/// The base64 of the keys and parts of it that would tell something.
fn assert_tells_nothing(error: &ParseError) -> Result<(), TestCaseError> {
    let said = format!("{error} {error:?}");
    for name in ["keya", "keyb", "keyc"] {
        let secret = BASE64_STANDARD.encode(bytes_of(name));
        for window in secret.as_bytes().windows(6) {
            let part = std::str::from_utf8(window).unwrap();
            prop_assert!(!said.contains(part), "{said}");
        }
    }
    Ok(())
}

fn one_of_ours() -> String {
    config_text(&[
        ("secrets configmaps", "aescbc:keya,keyb identity"),
        ("*.apps", "kms:k aesgcm:keyc"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_give_an_answer(bytes in any::<Vec<u8>>()) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_of_yaml_signs_gives_an_answer(text in "[-:,\\[\\]{}&*!|>'\"%@`#a-c0-9 \n\t]{0,60}") {
        let head = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: ";
        if let Ok(config) = parse((head.to_owned() + &text).as_bytes()) {
            prop_assert_eq!(parse(&write(&config)), Ok(config));
        }
    }

    /// Parts of a file are cut, doubled, moved and overwritten; what is still legal keeps its meaning, what is not tells nothing.
    #[test]
    fn a_damaged_file_is_read_right_or_refused_without_a_word_of_its_keys(
        edits in proptest::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), ".{0,3}"), 1..4)
    ) {
        let mut chars: Vec<char> = one_of_ours().chars().collect();
        for (kind, from, to, insert) in edits {
            let (from, to) = (from.index(chars.len()), to.index(chars.len()));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 40));
            let part: Vec<char> = chars[from..to].to_vec();
            match kind {
                0 => drop(chars.drain(from..to)),
                1 => drop(chars.splice(to..to, part)),
                2 => chars.truncate(to.max(1)),
                _ => drop(chars.splice(from..from, insert.chars())),
            }
            if chars.is_empty() {
                chars.push('\n');
            }
        }
        let text: String = chars.into_iter().collect();
        match parse(text.as_bytes()) {
            Ok(config) => prop_assert_eq!(parse(&write(&config)), Ok(config)),
            Err(error) => assert_tells_nothing(&error)?,
        }
    }

    /// Keys where no key belongs: as a name of a field, a kind, a resource, a provider.
    #[test]
    fn a_key_in_the_wrong_place_is_not_repeated(place in any::<prop::sample::Index>(), quote in "['\"]?") {
        let text = one_of_ours();
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let index = place.index(words.len());
        let secret = BASE64_STANDARD.encode(bytes_of("keya"));
        let damaged: String = words
            .iter()
            .enumerate()
            .map(|(at, word)| if at == index { format!("{quote}{secret}{quote} ") } else { (*word).to_owned() })
            .collect();
        if let Err(error) = parse(damaged.as_bytes()) {
            assert_tells_nothing(&error)?;
        }
    }
}
