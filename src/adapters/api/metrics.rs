//! What the API server's metrics say of its encryption configuration: which it has loaded. They are some megabytes, so they are read
//! line by line as they come.

use std::collections::{BTreeMap, BTreeSet};

use super::Api;
use crate::domain::{Digest, Fact};

const PATH: &str = "/metrics";
const LOADED: &str = "apiserver_encryption_config_controller_last_config_info";
const RELOADS: &str = "apiserver_encryption_config_controller_automatic_reloads_total";
const STALE_TOKENS: &str = "serviceaccount_stale_tokens_total";
const STARTED: &str = "process_start_time_seconds";
/// A longer line is none of ours.
const MAX_LINE: usize = 16 << 10;

/// What the metrics say.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The digest of the configuration that the process has loaded (kubernetes 1.34 and newer). `Absent` when it does not tell.
    pub loaded: Fact<Digest>,
    /// How often the file was loaded again, by `success` and `failure` (1.30 and newer); empty before the first time.
    pub reloads: BTreeMap<String, u64>,
    /// How often a service account token was used beyond its time (`serviceaccount_stale_tokens_total`); `Absent` when it does not tell.
    pub stale_tokens: Fact<u64>,
    /// When the process was started, in seconds since 1970, by its own wall clock.
    pub started: Fact<f64>,
}

/// The metrics' lines, as far as they have come.
#[derive(Default)]
struct Scan {
    line: Vec<u8>,
    too_long: bool,
    loaded: BTreeSet<String>,
    reloads: BTreeMap<String, u64>,
    stale_tokens: Option<u64>,
    started: Option<f64>,
}

/// Reads the metrics. `Absent` when these credentials are not shown any, `Unknown` when the server does not answer or breaks off.
pub async fn metrics(api: &Api) -> Fact<Metrics> {
    let mut scan = Scan::default();
    match api.stream(PATH, |chunk| scan.take(chunk)).await {
        Ok(200) => Fact::Known(scan.finish()),
        Ok(403 | 404) => Fact::Absent,
        Ok(code) => Fact::Unknown(api.told(PATH, &format!("it answers {code}"))),
        Err(error) => Fact::Unknown(api.told(PATH, &error.to_string())),
    }
}

impl Scan {
    fn take(&mut self, chunk: &[u8]) {
        let mut lines = chunk.split(|&byte| byte == b'\n');
        // What comes before the first end of line belongs to the line that has begun.
        if let Some(rest) = lines.next() {
            self.extend(rest);
        }
        for begun in lines {
            self.end_line();
            self.extend(begun);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_LINE {
            self.too_long = true;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.too_long)
            && let Ok(line) = std::str::from_utf8(&line)
        {
            self.read(line);
        }
        self.line = line;
        self.line.clear();
    }

    fn read(&mut self, line: &str) {
        let Some((name, labels, value)) = sample(line) else {
            return;
        };
        match name {
            LOADED if value > 0.0 => {
                self.loaded.extend(label(labels, "hash"));
            }
            RELOADS => {
                *self
                    .reloads
                    .entry(label(labels, "status").unwrap_or_default())
                    .or_default() += counted(value);
            }
            STALE_TOKENS => {
                let before = self.stale_tokens.unwrap_or(0);
                self.stale_tokens = Some(before.saturating_add(counted(value)));
            }
            STARTED => self.started = Some(value),
            _ => {}
        }
    }

    fn finish(mut self) -> Metrics {
        self.end_line();
        let mut hashes = self.loaded.into_iter();
        let loaded = match (hashes.next(), hashes.next()) {
            (None, _) => Fact::Absent,
            (Some(hash), None) => {
                let hex = hash.strip_prefix("sha256:").unwrap_or(&hash);
                hex.parse().map_or_else(
                    |_| Fact::unknown(format!("{LOADED} has a hash that is no SHA-256")),
                    Fact::Known,
                )
            }
            (Some(_), Some(_)) => Fact::unknown(format!("{LOADED} names more than one configuration")),
        };
        Metrics {
            loaded,
            reloads: self.reloads,
            stale_tokens: self.stale_tokens.map_or(Fact::Absent, Fact::Known),
            started: self.started.map_or(Fact::Absent, Fact::Known),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter; the cast saturates"
)]
const fn counted(value: f64) -> u64 {
    value as u64
}

/// Name, labels and value of a line of the text format. No label of ours has a brace in its value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, labels, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = rest.rsplit_once('}')?;
            (name, labels, rest)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, "", rest)
        }
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// The value of a label; none of ours needs an escape.
fn label(labels: &str, name: &str) -> Option<String> {
    labels.split(',').find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?;
        Some(value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "14f9d63e669337ac6bfda2e2162915ee6a6067743eddd4e5c374b572f951ff37";

    fn scanned(text: &str, chunk: usize) -> Metrics {
        let mut scan = Scan::default();
        for chunk in text.as_bytes().chunks(chunk) {
            scan.take(chunk);
        }
        scan.finish()
    }

    fn text() -> String {
        format!(
            "# HELP process_start_time_seconds Start time of the process\n# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.76403120119e+09\n{STALE_TOKENS} 5\nother{{a=\"{}\"}} 1\n{RELOADS}{{apiserver_id_hash=\"sha256:aa\",status=\"success\"}} 3\n{RELOADS}{{apiserver_id_hash=\"sha256:aa\",status=\"failure\"}} 1\n{LOADED}{{apiserver_id_hash=\"sha256:aa\",hash=\"sha256:{HASH}\"}} 1",
            "x".repeat(2 * MAX_LINE)
        )
    }

    #[test]
    fn the_metrics_are_found_however_they_are_cut() {
        let expected = Metrics {
            stale_tokens: Fact::Known(5),
            loaded: Fact::Known(HASH.parse().unwrap()),
            reloads: [("failure".to_owned(), 1), ("success".to_owned(), 3)].into(),
            started: Fact::Known(1_764_031_201.19),
        };
        for chunk in [1, 7, 64, 1 << 20] {
            assert_eq!(scanned(&text(), chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn an_older_server_tells_nothing_and_a_doubtful_one_nothing_known() {
        let older = scanned("process_start_time_seconds 5\n", 64);
        assert_eq!((older.loaded, older.started), (Fact::Absent, Fact::Known(5.0)));
        let two = format!(
            "{}\n{LOADED}{{hash=\"sha256:{}\"}} 1\n",
            text(),
            HASH.replace('1', "2")
        );
        assert_eq!(
            scanned(&two, 64).loaded,
            Fact::unknown(format!("{LOADED} names more than one configuration"))
        );
        let odd = format!("{LOADED}{{hash=\"md5:1\"}} 1\n");
        assert!(matches!(scanned(&odd, 64).loaded, Fact::Unknown(_)));
        assert_eq!(
            scanned(&format!("{LOADED}{{hash=\"sha256:{HASH}\"}} 0\n"), 64).loaded,
            Fact::Absent
        );
    }
}
