//! The text as a tree of nodes that know their place, so that an error can point without quoting.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess};
use zeroize::Zeroizing;

use super::error::{ParseError, ParseErrorKind};

/// More nodes than any file of the size cap needs; only aliases can pass it.
const MAX_NODES: usize = 200_000;

/// One value of the document.
pub(super) struct Node<'t> {
    pub(super) content: Content<'t>,
    /// Its offset in the text, in bytes, where the parser tells.
    pub(super) at: Option<usize>,
}

/// What a node holds.
pub(super) enum Content<'t> {
    Null,
    Text(Text<'t>),
    Integer(i64),
    /// A boolean, a fraction, a tagged value: nothing that any field takes.
    Other,
    List(Vec<Node<'t>>),
    Map(Vec<Field<'t>>),
}

/// A text: a part of the document, or a copy that is wiped.
pub(super) enum Text<'t> {
    Borrowed(&'t str),
    Owned(Zeroizing<String>),
}

/// One field of a mapping.
pub(super) struct Field<'t> {
    pub(super) key: Node<'t>,
    pub(super) value: Node<'t>,
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// The one document of a text: JSON if it begins with a brace, as upstream decides it, else YAML.
pub(super) fn document_of(text: &str) -> Result<Node<'_>, ParseError> {
    let left = Cell::new(MAX_NODES);
    let seed = Seed { text, left: &left };
    let failed = |position: Option<(usize, usize)>| ParseError {
        path: String::new(),
        position,
        kind: if left.get() == 0 {
            ParseErrorKind::TooLarge
        } else {
            ParseErrorKind::Syntax
        },
    };
    if text.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(text);
        let node = seed.deserialize(&mut json);
        return node
            .and_then(|node| json.end().map(|()| node))
            .map_err(|error| failed(Some((error.line(), error.column()))));
    }
    if let Some(at) = tag(text) {
        return Err(ParseError {
            path: String::new(),
            position: Some(position(text, at)),
            kind: ParseErrorKind::Tag,
        });
    }
    let failed = |error: serde_yaml::Error| failed(error.location().map(|at| (at.line(), at.column())));
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return Ok(null());
    };
    let first = seed.deserialize(first).map_err(failed)?;
    for more in documents {
        let more = seed.deserialize(more).map_err(failed)?;
        if !matches!(more.content, Content::Null) {
            return Err(ParseError {
                path: String::new(),
                position: more.at.map(|at| position(text, at)),
                kind: ParseErrorKind::SeveralDocuments,
            });
        }
    }
    Ok(first)
}

/// The first word that may be a tag, but for `!!str`. The parser passes over `!!binary`, which go-yaml decodes: a secret would be
/// another one here than there. A comment is one only where it has a line to itself, since a `#` may stand in quotes.
fn tag(text: &str) -> Option<usize> {
    let is_in_comment = |at| {
        let before = text.get(..at).unwrap_or_default();
        let breaks = |c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let line = before.rsplit(breaks).next().unwrap_or_default();
        line.trim_start().starts_with('#')
    };
    let begins_word = |at| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| c.is_whitespace() || matches!(c, ',' | '[' | '{'))
    };
    let is_str = |at| {
        let rest = text.get(at..).and_then(|rest| rest.strip_prefix("!!str"));
        rest.is_some_and(|rest| rest.starts_with([' ', '\n']))
    };
    let mut marks = text.match_indices('!').map(|(at, _)| at);
    marks.find(|at| begins_word(*at) && !is_str(*at) && !is_in_comment(*at))
}

const fn null() -> Node<'static> {
    Node {
        content: Content::Null,
        at: None,
    }
}

/// Line and column of an offset, both from 1; columns count characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// True when go-yaml 2 (YAML 1.1) reads the plain word as something else than text, though the parser here does not.
fn is_yaml_1_1(word: &str) -> bool {
    let switches = ["y", "n", "yes", "no", "on", "off"];
    let lower = word.to_ascii_lowercase();
    let as_usual =
        |form: &str| word == form || word == form.to_ascii_uppercase() || capitalised(form) == word;
    if switches.iter().any(|form| *form == lower && as_usual(form)) {
        return true;
    }
    let digits = lower.replace('_', "");
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') {
        return false;
    }
    let is_number =
        |digits: &str, radix| !digits.starts_with(['+', '-']) && u64::from_str_radix(digits, radix).is_ok();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)].iter().any(|(prefix, radix)| {
        unsigned
            .strip_prefix(prefix)
            .is_some_and(|rest| is_number(rest, *radix))
    });
    let number_like = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-');
    prefixed
        || is_number(unsigned, 10)
        || (unsigned.chars().all(number_like) && unsigned.parse::<f64>().is_ok())
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}

/// Reads one node. A scalar that is a part of the text tells where it stands, and so whether it is quoted.
#[derive(Clone, Copy)]
struct Seed<'s> {
    text: &'s str,
    left: &'s Cell<usize>,
}

impl<'s> Seed<'s> {
    fn node<'de>(self, content: Content<'de>, at: Option<usize>) -> Node<'de> {
        Node { content, at }
    }

    fn offset(self, word: &str) -> Option<usize> {
        let offset = word.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        (self.text.get(offset..offset.checked_add(word.len())?)? == word).then_some(offset)
    }

    /// True when neither quotes nor a tag stand before the scalar.
    fn is_plain(self, offset: usize) -> bool {
        let before = self.text.get(..offset).unwrap_or("");
        let tagged = before
            .split_whitespace()
            .next_back()
            .is_some_and(|word| word.starts_with('!'));
        !before.ends_with(['\'', '"']) && !tagged
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(de::Error::custom("too many nodes"));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(null())
    }

    /// An empty stream.
    fn visit_none<E>(self) -> Result<Node<'de>, E> {
        Ok(null())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Other, None))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Integer(value), None))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        let content = i64::try_from(value).map_or(Content::Other, Content::Integer);
        Ok(self.node(content, None))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Other, None))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Other, None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Other, None))
    }

    fn visit_str<E>(self, word: &str) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Text(Text::Owned(Zeroizing::new(word.to_owned()))), None))
    }

    fn visit_string<E>(self, word: String) -> Result<Node<'de>, E> {
        Ok(self.node(Content::Text(Text::Owned(Zeroizing::new(word))), None))
    }

    fn visit_borrowed_str<E>(self, word: &'de str) -> Result<Node<'de>, E> {
        let at = self.offset(word);
        if at.is_some_and(|at| self.is_plain(at)) && is_yaml_1_1(word) {
            return Ok(self.node(Content::Other, at));
        }
        Ok(self.node(Content::Text(Text::Borrowed(word)), at))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        let at = list.iter().find_map(|item| item.at);
        Ok(self.node(Content::List(list), at))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut fields: Vec<Field<'de>> = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            fields.push(Field { key, value });
        }
        let at = fields.first().and_then(|field| field.key.at);
        Ok(self.node(Content::Map(fields), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_yaml_1_1_reads_otherwise_are_no_text() {
        for word in [
            "yes", "No", "OFF", "y", "1_000", "0b11", "0x_1f", "-0o17", "0123", "1_0.5",
        ] {
            assert!(is_yaml_1_1(word), "{word}");
        }
        for word in [
            "key1",
            "yES",
            "1key",
            "0x1g",
            "-",
            "+/ab",
            "2001-01-01",
            "secrets",
            "1.2.3",
        ] {
            assert!(!is_yaml_1_1(word), "{word}");
        }
    }

    #[test]
    fn a_tag_is_refused_wherever_it_may_stand() {
        for (text, at) in [
            ("a: !!binary eA==", Some(3)),
            ("a: [!<tag:yaml.org,2002:binary> eA==]", Some(4)),
            ("%TAG !! tag:x\n--- {}", Some(5)),
            ("a: !!strange x", Some(3)),
            ("a: !!str x", None),
            ("a: b! # what a secret!", None),
            ("# !!! keep out !!!\n  # !\na: x", None),
            ("# keep out\ra: !!binary eA==", Some(14)),
            ("a: x # !!! keep out", Some(7)),
        ] {
            assert_eq!(tag(text), at, "{text}");
        }
    }

    #[test]
    fn few_bytes_of_aliases_do_not_grow_without_bound() {
        let list = format!("a: &a [{}]\n", "x, ".repeat(2_000));
        let uses = format!("b: [{}]\n", "*a, ".repeat(2_000));
        let error = document_of(&(list + &uses)).err().unwrap();
        assert_eq!(error.kind, ParseErrorKind::TooLarge);
    }

    #[test]
    fn a_second_document_is_refused_and_a_last_marker_is_not() {
        let error = document_of("a: 1\n---\nb: 2\n").err().unwrap();
        assert_eq!(
            (error.kind, error.position),
            (ParseErrorKind::SeveralDocuments, Some((3, 1)))
        );
        let first = document_of("---\na: 1\n---\n").unwrap();
        assert_eq!(first.at, Some(4));
    }
}
