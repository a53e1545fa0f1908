//! Text of others without what may be a secret: a component's log line can hold anything.

const HIDDEN: &str = "[REDACTED]";

/// A run of key characters this long is taken for key material.
const BLOB: usize = 32;

/// A log line without what may be a secret: PEM bodies, tokens, passwords, user names in URLs, and long runs of base64 or
/// hexadecimal digits. It rather hides too much.
#[must_use]
pub fn redact(line: &str) -> String {
    let line = without_pem(line);
    let line = without_userinfo(&line);
    let line = without_named_secrets(&line);
    without_blobs(&line)
}

/// Hides what stands between `-----BEGIN` and the end of `-----END ...-----`, or of the line.
fn without_pem(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("-----BEGIN") {
        clean.push_str(before);
        clean.push_str(HIDDEN);
        rest = after
            .split_once("-----END")
            .and_then(|(_, end)| end.split_once("-----"))
            .map_or("", |(_, after)| after);
    }
    clean.push_str(rest);
    clean
}

/// Hides `user:password` of `scheme://user:password@host`.
fn without_userinfo(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let authority = after
            .split(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .next()
            .unwrap_or("");
        rest = match authority.rsplit_once('@') {
            Some((user, _)) if !user.is_empty() => {
                clean.push_str(HIDDEN);
                after.strip_prefix(user).unwrap_or("")
            }
            _ => after,
        };
    }
    clean.push_str(rest);
    clean
}

/// A piece of a line: a word of key characters, or what stands between two.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Word(&'a str),
    Between(&'a str),
}

impl<'a> Piece<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Between(text) => text,
        }
    }
}

/// The line cut where the kind of character changes.
fn pieces(line: &str, is_word: impl Fn(char) -> bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let word = is_word(first);
        let end = rest.find(|c| is_word(c) != word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(if word {
            Piece::Word(piece)
        } else {
            Piece::Between(piece)
        });
        rest = after;
    }
    pieces
}

/// Hides what follows a word that names a secret: `password=...`, `"token":"..."`, `--token ...`, `Bearer ...`.
fn without_named_secrets(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        let all = pieces(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let mut seen = "";
        let mut found = None;
        for piece in &all {
            let passed = seen.len() + piece.text().len();
            seen = rest.get(..passed).unwrap_or(rest);
            let after = rest.get(passed..).unwrap_or("");
            if let Piece::Word(word) = piece
                && let Some(opening) = opens_secret(word, after)
            {
                // The value of an authorization header is a scheme and a token.
                let whole = word.eq_ignore_ascii_case("authorization");
                found = Some((passed + opening.len(), opening, whole));
                break;
            }
        }
        let Some((from, opening, whole)) = found else {
            clean.push_str(rest);
            return clean;
        };
        let (before, after) = rest.split_at(from);
        clean.push_str(before);
        let end = value_end(after, opening, whole);
        let (value, after) = after.split_at(end);
        clean.push_str(if value.is_empty() { "" } else { HIDDEN });
        rest = after;
    }
}

/// What stands between the name of a secret and its value, when the word is such a name and a value follows.
fn opens_secret<'a>(word: &str, after: &'a str) -> Option<&'a str> {
    let name = word.to_ascii_lowercase();
    let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
    let opening = |length: usize| after.get(..length).filter(|_| length < after.len());
    if name == "bearer" && after.starts_with(' ') {
        // `bearer token: expired` is prose.
        let prose = after.trim_start_matches(' ').strip_prefix("token");
        let is_prose = prose.is_some_and(|rest| rest.starts_with([' ', ':', ',']));
        return opening(spaces(after)).filter(|_| !is_prose);
    }
    if name == "authorization" && after.starts_with([':', '=']) {
        return opening(after.len() - after.trim_start_matches([':', '=', ' ', '"', '\'']).len());
    }
    const SECRETS: [&str; 9] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "secret",
        "apikey",
        "api-key",
        "credential",
    ];
    if !SECRETS
        .iter()
        .any(|secret| name.replace('_', "-").ends_with(secret))
    {
        return None;
    }
    // The flag's value may be an argument of its own.
    if name.starts_with("--") && after.starts_with(' ') {
        let length = spaces(after);
        return opening(length).filter(|_| !after.trim_start_matches(' ').starts_with(['-', ' ']));
    }
    let unquoted = after.trim_start_matches(['"', '\'', '\\']);
    let separated = unquoted.strip_prefix(['=', ':'])?;
    // `token: expired` is prose; a value after a colon and a space is in quotes, or is a password.
    let value = separated.trim_start_matches(' ');
    let is_prose = unquoted.starts_with(':')
        && value.len() < separated.len()
        && !value.starts_with(['"', '\'', '\\'])
        && !name.contains("pass");
    if is_prose {
        return None;
    }
    opening(after.len() - value.trim_start_matches(['"', '\'', '\\']).len())
}

/// Where a value ends: at its closing quote, or else at white space or punctuation that no value holds, or with the line.
fn value_end(after: &str, opening: &str, whole: bool) -> usize {
    let quote = opening.chars().last().filter(|c| matches!(c, '"' | '\''));
    let is_end = |c: char| match quote {
        Some(quote) => c == quote || c == '\\',
        None if whole => false,
        None => c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '&' | ';' | ')' | '}'),
    };
    after.find(is_end).unwrap_or(after.len())
}

/// Hides runs that look like key material, and tokens of three base64 parts.
fn without_blobs(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut hidden_last = false;
    for piece in pieces(line, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-')
    }) {
        match piece {
            Piece::Word(word) if is_digest(word, &clean) => {
                clean.extend(word.chars().take(12));
                clean.push('…');
                hidden_last = false;
            }
            Piece::Word(word) if is_blob(word) || is_token(word) => {
                clean.push_str(HIDDEN);
                hidden_last = true;
            }
            // What is left of a token after its first part.
            Piece::Word(_) if hidden_last && clean.ends_with("].") => clean.push_str(HIDDEN),
            Piece::Word(word) => {
                clean.push_str(word);
                hidden_last = false;
            }
            Piece::Between(text) => {
                let padding = text.len() - text.trim_start_matches('=').len();
                clean.push_str(text.get(if hidden_last { padding } else { 0 }..).unwrap_or(""));
            }
        }
    }
    clean
}

/// An image's digest is no secret, but long.
fn is_digest(word: &str, before: &str) -> bool {
    before.ends_with("sha256:") && word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The first part of a JSON web token: base64 of `{"`.
fn is_token(word: &str) -> bool {
    word.len() >= 12 && word.starts_with("eyJ")
}

/// A run that is no path and no name made of words.
fn is_blob(run: &str) -> bool {
    let is_word = |segment: &str| {
        let capitals = segment.bytes().filter(u8::is_ascii_uppercase).count();
        let letters = segment.bytes().all(|byte| byte.is_ascii_alphabetic());
        segment.len() <= 8
            || (letters && capitals <= segment.len() / 4 + 1)
            || (segment.len() < BLOB && capitals == 0)
    };
    run.len() >= BLOB && (run.contains('+') || !run.split(['/', '-', '_']).all(is_word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    const KEY: &str = "c2VjcmV0IGlzIHNlY3VyZSwgaXMgaXQ/MDEyMzQ1Njc=";

    #[test]
    fn each_kind_of_secret_is_hidden_and_the_rest_of_the_line_stays() {
        let cases = [
            (
                "Authorization: Bearer abc.def-1 failed".to_owned(),
                "Authorization: [REDACTED]",
            ),
            (
                "sent bearer abc123, refused".to_owned(),
                "sent bearer [REDACTED], refused",
            ),
            (
                format!("token {JWT} is expired"),
                "token [REDACTED].[REDACTED].[REDACTED] is expired",
            ),
            (format!("key {KEY} is too short"), "key [REDACTED] is too short"),
            (
                "bad -----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY----- here".to_owned(),
                "bad [REDACTED] here",
            ),
            (
                "bad -----BEGIN CERTIFICATE-----\\nMIIE".to_owned(),
                "bad [REDACTED]",
            ),
            (
                "dial postgres://joe:pw1@db:5432/x".to_owned(),
                "dial postgres://[REDACTED]@db:5432/x",
            ),
            (
                "login password=hunter2 user=joe".to_owned(),
                "login password=[REDACTED] user=joe",
            ),
            (
                "{\"clientSecret\":\"a b\",\"id\":\"x\"}".to_owned(),
                "{\"clientSecret\":\"[REDACTED]\",\"id\":\"x\"}",
            ),
            ("password: hunter2".to_owned(), "password: [REDACTED]"),
            (
                "started with --token=abc --v=2".to_owned(),
                "started with --token=[REDACTED] --v=2",
            ),
            (
                "started with --bootstrap-token abc --v=2".to_owned(),
                "started with --bootstrap-token [REDACTED] --v=2",
            ),
            (
                "key 6f1ed002ab5595859014ebf0951522d96f1ed002ab5595859014ebf0951522d9".to_owned(),
                "key [REDACTED]",
            ),
            (
                "image sha256:6f1ed002ab5595859014ebf0951522d96f1ed002ab5595859014ebf0951522d9 gone"
                    .to_owned(),
                "image sha256:6f1ed002ab55… gone",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(redact(&line), expected, "{line}");
        }
    }

    #[test]
    fn what_an_operator_needs_stays_as_it_is() {
        for line in [
            "Error: invalid argument \"maybe\" for \"--profiling\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            "E0921 12:34:56.789012       1 run.go:72] \"command failed\" err=\"open /etc/kubernetes/pki/apiserver-kubelet-client.crt: no such file or directory\"",
            "unknown flag: --service-account-extend-token-expiration",
            "Error: unknown flag: --token",
            "invalid bearer token: expired",
            "unrecognized feature gate: LegacyServiceAccountTokenNoAutoGeneration",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is not supported",
            "pod 8d4a6a1e-0c1f-4e0a-9f6e-2f0b8f1c2d3e of https://127.0.0.1:2379/health",
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "--token-auth-file=/etc/kubernetes/tokens.csv",
        ] {
            assert_eq!(redact(line), line);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_redacted_without_a_panic_and_stays_about_as_long(line in ".{0,200}") {
            prop_assert!(redact(&line).len() <= 3 * line.len() + 64);
        }

        #[test]
        fn lines_made_of_the_parts_of_secrets_are_redacted_without_a_panic(parts in proptest::collection::vec(
            prop_oneof![
                Just("token"), Just("--token"), Just("password"), Just("=") , Just(":"), Just(" "), Just("\""), Just("\\"),
                Just("bearer"), Just("authorization"), Just("://"), Just("@"), Just("eyJabcdefghijk"), Just("."), Just("é"),
                Just("-----BEGIN"), Just("-----END"), Just("-----"), Just(KEY), Just("sha256:"), Just("…"), Just("'"),
            ], 0..40)
        ) {
            let line = parts.concat();
            prop_assert!(redact(&line).len() <= 3 * line.len() + 64);
        }

        #[test]
        fn a_random_key_of_32_bytes_never_survives(key in any::<[u8; 32]>()) {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(key);
            let line = redact(&format!("error: key {text} is bad"));
            prop_assert!(!line.contains(&text), "{}", line);
        }
    }
}
