//! A manifest's text as the kubelet's YAML reader takes it (go-yaml 2: YAML 1.1 for plain words and numbers).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, DeserializeSeed, MapAccess, SeqAccess};
use serde_yaml::{Mapping, Value};

use super::view::{MAX_BYTES, ParseError, ParseErrorKind};
use super::yaml_1_1::yaml_1_1;

/// A parsed document, and where in the text some things stand.
pub(crate) struct Document {
    /// What it says, merge keys applied.
    pub(crate) value: Value,
    /// Where the first merge key stands.
    pub(super) merge_key: Option<usize>,
    /// Where the keys of the outermost mapping stand.
    pub(super) keys: BTreeMap<String, usize>,
    /// The plain words that YAML 1.1 reads as something else than YAML 1.2, with what it reads.
    words: Vec<(Range<usize>, Value)>,
}

/// The text of a manifest, when it is text.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, ParseError> {
    let whole = |kind| ParseError { kind, position: None };
    if bytes.len() > MAX_BYTES {
        return Err(whole(ParseErrorKind::TooLarge(bytes.len() as u64)));
    }
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    if marks.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(ParseError {
            kind: ParseErrorKind::ByteOrderMark,
            position: Some((1, 1)),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| whole(ParseErrorKind::Binary))?;
    match text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        Some(offset) => Err(ParseError {
            kind: ParseErrorKind::Binary,
            position: Some(position(text, offset)),
        }),
        None => Ok(text),
    }
}

/// Line and column of a byte of the text, both from 1; columns count characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or("").chars().count() + 1;
    (line, column)
}

/// The one document of a text. Empty ones after it (a last `---` or `...`) do not count.
pub(crate) fn document_of(text: &str) -> Result<Document, ParseError> {
    let empty = || ParseError {
        kind: ParseErrorKind::Empty,
        position: None,
    };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let notes = RefCell::new(Notes::default());
    let node = Node {
        text,
        notes: &notes,
        depth: 0,
    };
    let mut value = node
        .deserialize(documents.next().ok_or_else(empty)?)
        .map_err(|error| {
            let duplicate = notes.borrow().duplicate;
            syntax(text, &error, duplicate)
        })?;
    for more in documents {
        if !matches!(Value::deserialize(more), Ok(Value::Null)) {
            return Err(ParseError {
                kind: ParseErrorKind::SeveralDocuments,
                position: None,
            });
        }
    }
    value.apply_merge().map_err(|error| syntax(text, &error, None))?;
    if value.is_null() {
        return Err(empty());
    }
    let Notes {
        merge_key,
        keys,
        words,
        ..
    } = notes.into_inner();
    Ok(Document {
        value,
        merge_key,
        keys,
        words,
    })
}

impl Document {
    /// A value without a text.
    pub(super) const fn of_value(value: Value) -> Self {
        Self {
            value,
            merge_key: None,
            keys: BTreeMap::new(),
            words: Vec::new(),
        }
    }

    /// Deserialises a type; an error says where in `text`, if that can be told.
    pub(super) fn typed<T: de::DeserializeOwned>(
        &self,
        text: &str,
    ) -> Result<T, (String, Option<(usize, usize)>)> {
        T::deserialize(&self.value).map_err(|error| {
            // A value knows no places. The text does, once its YAML 1.1 words are written out.
            let placed = serde_yaml::Deserializer::from_str(&self.plain_text(text))
                .next()
                .and_then(|document| T::deserialize(document).err());
            match placed {
                Some(placed) if self.merge_key.is_none() => (words_of(&placed), location(&placed)),
                _ => (words_of(&error), None),
            }
        })
    }

    /// The text with `true` for `yes`, `8` for `010` and so on.
    fn plain_text(&self, text: &str) -> String {
        let mut plain = text.to_owned();
        for (range, value) in self.words.iter().rev() {
            let written = match value {
                Value::Bool(boolean) => boolean.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Null
                | Value::String(_)
                | Value::Sequence(_)
                | Value::Mapping(_)
                | Value::Tagged(_) => {
                    continue;
                }
            };
            plain.replace_range(range.clone(), &written);
        }
        plain
    }
}

fn location(error: &serde_yaml::Error) -> Option<(usize, usize)> {
    error.location().map(|place| (place.line(), place.column()))
}

/// The parser's words without the places in them, which stand in front already.
fn words_of(error: &serde_yaml::Error) -> String {
    let words = error.to_string();
    let mut parts = words.split(" at line ");
    let first = parts.next().unwrap_or("").to_owned();
    let past_the_place = |part: &str| {
        part.trim_start_matches(|c: char| c.is_ascii_digit() || " column".contains(c))
            .to_owned()
    };
    parts.fold(first, |all, part| all + &past_the_place(part))
}

fn syntax(text: &str, error: &serde_yaml::Error, duplicate: Option<usize>) -> ParseError {
    let words = error.to_string();
    let found = location(error);
    let tab = text
        .lines()
        .take(found.map_or(usize::MAX, |(line, _)| line))
        .enumerate()
        .find_map(|(index, line)| {
            let indent = line.get(..line.len() - line.trim_start().len())?;
            Some((index + 1, indent.find('\t')? + 1))
        });
    if let (Some(tab), None) = (tab, duplicate) {
        return ParseError {
            kind: ParseErrorKind::Tab,
            position: Some(tab),
        };
    }
    // What is never closed is found out at the end of the file; where it began is of more use.
    let opened = words
        .contains("unexpected end of stream")
        .then(|| {
            words
                .rsplit_once(" at line ")
                .and_then(|(_, place)| line_and_column(place))
        })
        .flatten();
    ParseError {
        kind: ParseErrorKind::Syntax(words_of(error)),
        position: duplicate
            .map(|offset| position(text, offset))
            .or(opened)
            .or(found),
    }
}

/// `3 column 9`
fn line_and_column(place: &str) -> Option<(usize, usize)> {
    let (line, column) = place.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// Text, and nothing that only reads like it: the parser would give a number as a `String`, the kubelet does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyText;
        impl de::Visitor<'_> for OnlyText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string (put it in quotes)")
            }

            fn visit_str<E>(self, word: &str) -> Result<Text, E> {
                Ok(Text(word.to_owned()))
            }
        }
        deserializer.deserialize_any(OnlyText)
    }
}

#[derive(Default)]
struct Notes {
    merge_key: Option<usize>,
    duplicate: Option<usize>,
    keys: BTreeMap<String, usize>,
    words: Vec<(Range<usize>, Value)>,
}

/// Reads one node. Borrowed scalars tell where they stand in the text, and so whether they are quoted.
#[derive(Clone, Copy)]
struct Node<'n> {
    text: &'n str,
    notes: &'n RefCell<Notes>,
    depth: usize,
}

impl Node<'_> {
    const fn inner(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    fn offset(&self, word: &str) -> Option<usize> {
        let offset = word.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        (self.text.get(offset..offset + word.len())? == word).then_some(offset)
    }

    /// True when neither quotes nor a tag stand before the scalar.
    fn is_plain(&self, offset: usize) -> bool {
        let before = self.text.get(..offset).unwrap_or("");
        let tagged = before
            .split_whitespace()
            .next_back()
            .is_some_and(|word| word.starts_with('!'));
        !before.ends_with(['\'', '"']) && !tagged
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag of its own")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    /// An empty stream.
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_borrowed_str<E>(self, word: &'de str) -> Result<Value, E> {
        let plain = self.offset(word).filter(|offset| self.is_plain(*offset));
        let (Some(offset), Some(value)) = (plain, yaml_1_1(word)) else {
            return Ok(word.into());
        };
        let range = offset..offset + word.len();
        self.notes.borrow_mut().words.push((range, value.clone()));
        Ok(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            sequence.push(item);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some(Key { value: key, offset }) = entries.next_key_seed(KeyNode(self))? {
            if mapping.contains_key(&key) {
                self.notes.borrow_mut().duplicate = offset;
                let name = key.as_str().unwrap_or("of its own");
                return Err(de::Error::custom(format!("the key {name} is given twice")));
            }
            if let (Some(offset), Some(name)) = (offset, key.as_str()) {
                let mut notes = self.notes.borrow_mut();
                if name == "<<" && notes.merge_key.is_none() {
                    notes.merge_key = Some(offset);
                }
                if self.depth == 0 {
                    notes.keys.insert(name.to_owned(), offset);
                }
            }
            let value = entries.next_value_seed(self.inner())?;
            mapping.insert(key, value);
        }
        Ok(Value::Mapping(mapping))
    }
}

/// A key with its place.
struct Key {
    value: Value,
    offset: Option<usize>,
}

struct KeyNode<'n>(Node<'n>);

impl<'de> DeserializeSeed<'de> for KeyNode<'_> {
    type Value = Key;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for KeyNode<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is text")
    }

    fn visit_borrowed_str<E>(self, word: &'de str) -> Result<Key, E> {
        Ok(Key {
            value: word.into(),
            offset: self.0.offset(word),
        })
    }

    fn visit_str<E>(self, word: &str) -> Result<Key, E> {
        Ok(Key {
            value: word.into(),
            offset: None,
        })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Key, E> {
        Ok(Key {
            value: number.into(),
            offset: None,
        })
    }
}
