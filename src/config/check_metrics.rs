//! The checking of `metrics`: where they are written, if they are.

use super::Metrics;
use super::raw::Problem;
use super::syntax::quote;
use super::tree::{Content, Node};
use super::values::{fill, text};
use crate::domain::{InvalidPath, NodePath};

/// How such a file ends: node_exporter reads no other.
const ENDING: &str = ".prom";

/// Sets what stands under `metrics`.
pub(super) fn metrics(metrics: &mut Metrics, node: &Node) -> Result<(), Problem> {
    fill(
        metrics,
        node,
        &[("textfile", |metrics, node| {
            if node.content != Content::Nothing {
                metrics.textfile = textfile(node)?;
            }
            Ok(())
        })],
    )
}

/// A file, or `off`, which unquoted is a text to this parser, and `false` to others: both are taken.
fn textfile(node: &Node) -> Result<Option<NodePath>, Problem> {
    if let Content::Boolean { value: false, .. } = node.content {
        return Ok(None);
    }
    let words = text(node)?;
    if words == "off" {
        return Ok(None);
    }
    let refused = |why: String| {
        Problem::at(node.at, why).hint(
            "write the whole path of the file, like /var/lib/prometheus/node-exporter/holdfast.prom, or off to write none"
                .to_owned(),
        )
    };
    let path: NodePath = words
        .parse()
        .map_err(|error: InvalidPath| refused(error.to_string()))?;
    let is_named = path
        .file_name()
        .strip_suffix(ENDING)
        .is_some_and(|name| !name.is_empty() && !name.starts_with('.'));
    if !is_named {
        return Err(refused(format!(
            "{} is no file that node_exporter reads: its name must end in {ENDING}, and not begin with a dot",
            quote(words)
        )));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};

    fn textfile(written: &str) -> Option<String> {
        let config = parse(&format!("metrics: {{ textfile: {written} }}")).unwrap();
        config.metrics.textfile.map(|path| path.to_string())
    }

    fn refusal(text: &str) -> (Option<usize>, Option<usize>, String) {
        let error = parse(text).unwrap_err();
        assert!(error.hint.is_some(), "{text}");
        (error.line, error.column, error.message)
    }

    #[test]
    fn without_a_word_they_lie_with_the_state_of_holdfast() {
        for text in ["", "metrics:\n", "metrics: {}\n", "metrics:\n  textfile:\n"] {
            let config = parse(text).unwrap();
            assert_eq!(config, Config::default(), "{text:?}");
            let file = config.metrics.textfile.unwrap();
            assert_eq!(file.as_str(), "/var/lib/holdfast/metrics.prom");
        }
    }

    #[test]
    fn they_lie_where_the_operator_says_or_are_not_written() {
        assert_eq!(
            textfile("/srv//m/holdfast.prom").as_deref(),
            Some("/srv/m/holdfast.prom")
        );
        for off in ["off", "\"off\"", "false"] {
            assert_eq!(textfile(off), None, "{off}");
        }
    }

    #[test]
    fn what_is_no_file_of_metrics_is_refused_where_it_stands() {
        let place = |why: &str| (Some(2), Some(13), why.to_owned());
        let reads =
            "is no file that node_exporter reads: its name must end in .prom, and not begin with a dot";
        for (written, why) in [
            (
                "holdfast.prom",
                "\"holdfast.prom\" is not an absolute path without \"..\"".to_owned(),
            ),
            (
                "/a/../b.prom",
                "\"/a/../b.prom\" is not an absolute path without \"..\"".to_owned(),
            ),
            ("/a/holdfast.txt", format!("\"/a/holdfast.txt\" {reads}")),
            ("/a/.prom", format!("\"/a/.prom\" {reads}")),
            ("/a/.b.prom", format!("\"/a/.b.prom\" {reads}")),
            ("true", "expected a text, found true or false".to_owned()),
        ] {
            let text = format!("metrics:\n  textfile: {written}\n");
            assert_eq!(refusal(&text), place(&why), "{written}");
        }
        assert_eq!(
            refusal("metrics: { file: /a/b.prom }"),
            (Some(1), Some(12), "unknown key \"file\"".to_owned())
        );
    }
}
