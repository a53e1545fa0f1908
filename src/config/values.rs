//! A node of the tree, read as what its key wants.

use std::collections::BTreeMap;
use std::time::Duration;

use super::duration::{format_duration, parse_duration};
use super::raw::Problem;
use super::syntax::quote;
use super::tree::{Content, Key, Node};

/// What a key's value sets in a `T`.
pub(super) type Set<T> = fn(&mut T, &Node) -> Result<(), Problem>;

/// Sets what the keys of `node` say; a key that has no row is an error, and an empty value sets nothing.
pub(super) fn fill<T>(into: &mut T, node: &Node, rows: &[(&str, Set<T>)]) -> Result<(), Problem> {
    let allowed: Vec<&str> = rows.iter().map(|(key, _)| *key).collect();
    let with_allowed = |problem: Problem| problem.hint(format!("Allowed here: {}", allowed.join(", ")));
    for (key, value) in entries(node, "keys with values").map_err(with_allowed)? {
        let row = rows.iter().find(|(known, _)| *known == key.text);
        let (_, set) = row.ok_or_else(|| Problem::unknown_word(key.at, "key", &key.text, &allowed))?;
        set(into, value)?;
    }
    Ok(())
}

/// The entries of a map; none for an empty value.
pub(super) fn entries<'n>(node: &'n Node, what: &str) -> Result<&'n [(Key, Node)], Problem> {
    if let Content::Map(entries) = &node.content {
        return Ok(entries);
    }
    if node.content == Content::Nothing {
        return Ok(&[]);
    }
    Err(expected(node, what))
}

/// The items of a list; none for an empty value.
pub(super) fn list(node: &Node) -> Result<&[Node], Problem> {
    if let Content::List(items) = &node.content {
        return Ok(items);
    }
    if node.content == Content::Nothing {
        return Ok(&[]);
    }
    Err(expected(node, "a list").hint("write it like [one, two]".to_owned()))
}

/// A text; what is a number or a boolean only for want of quotes is refused.
pub(super) fn text(node: &Node) -> Result<&str, Problem> {
    if let Content::Text { text, .. } = &node.content {
        return Ok(text);
    }
    let problem = expected(node, "a text");
    match scalar(node) {
        Ok(written) => Err(problem.hint(format!("write it in quotes if it is meant: {}", quote(written)))),
        Err(_) => Err(problem),
    }
}

/// A text, number or boolean, as it was written.
pub(super) fn scalar(node: &Node) -> Result<&str, Problem> {
    if let Content::Text { text, .. } | Content::Number(text) | Content::Boolean { text, .. } = &node.content
    {
        return Ok(text);
    }
    Err(expected(node, "a text, a number, true or false"))
}

/// True or false.
pub(super) fn boolean(node: &Node) -> Result<bool, Problem> {
    if let Content::Boolean { value, .. } = &node.content {
        return Ok(*value);
    }
    Err(expected(node, "true or false").hint("write true or false, without quotes".to_owned()))
}

/// A span of time from `least` to `most`.
pub(super) fn duration(node: &Node, least: Duration, most: Duration) -> Result<Duration, Problem> {
    let words = scalar(node)?;
    let (shortest, longest) = (format_duration(least), format_duration(most));
    let duration = parse_duration(words).map_err(|_| {
        Problem::at(node.at, format!("{} is no duration", quote(words))).hint(format!(
            "write a number with its unit, like 90s or 2m30s; {shortest} to {longest} here"
        ))
    })?;
    if duration < least || duration > most {
        return Err(Problem::at(node.at, format!("{} is out of range", quote(words)))
            .hint(format!("{shortest} to {longest} is allowed here")));
    }
    Ok(duration)
}

/// The error of a value that is something else than what is expected.
pub(super) fn expected(node: &Node, what: &str) -> Problem {
    Problem::at(node.at, format!("expected {what}, found {}", node.noun()))
}

/// Adds an entry; the same thing must not be named twice, in whatever spelling.
pub(super) fn insert_once<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    (key, value): (K, V),
    at: usize,
    name: &str,
) -> Result<(), Problem> {
    if map.insert(key, value).is_some() {
        return Err(Problem::at(at, format!("{name} stands twice")).hint("keep one of them".to_owned()));
    }
    Ok(())
}
