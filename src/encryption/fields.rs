//! Walking the document field by field, each with its path, as strictly as Go's strict decoder.

use super::error::{ParseError, ParseErrorKind};
use super::tree::{Content, Node, position};

/// A field of the document, present or not, with its path.
pub(super) struct Place<'d> {
    text: &'d str,
    pub(super) path: String,
    node: Option<&'d Node<'d>>,
    at: Option<usize>,
}

/// The fields of a mapping, none of them unknown or given twice.
pub(super) struct Fields<'d>(pub(super) Place<'d>);

impl<'d> Place<'d> {
    /// The whole document.
    pub(super) const fn root(text: &'d str, document: &'d Node<'d>) -> Self {
        Self {
            text,
            path: String::new(),
            node: Some(document),
            at: document.at,
        }
    }

    pub(super) fn error(&self, kind: ParseErrorKind) -> ParseError {
        self.error_at(self.at, kind)
    }

    fn error_at(&self, at: Option<usize>, kind: ParseErrorKind) -> ParseError {
        ParseError {
            path: self.path.clone(),
            position: at.map(|at| position(self.text, at)),
            kind,
        }
    }

    /// What stands there; Go's decoder takes null for absent everywhere.
    pub(super) fn content(&self) -> Option<&'d Content<'d>> {
        match &self.node?.content {
            Content::Null => None,
            content @ (Content::Text(_)
            | Content::Integer(_)
            | Content::Other
            | Content::List(_)
            | Content::Map(_)) => Some(content),
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(
            self.node,
            None | Some(Node {
                content: Content::Null,
                ..
            })
        )
    }

    pub(super) fn fields(self, known: &[&str]) -> Result<Fields<'d>, ParseError> {
        let map = match self.content() {
            None => return Ok(Fields(self)),
            Some(Content::Map(map)) => map,
            Some(_) => return Err(self.error(ParseErrorKind::Expected("a mapping"))),
        };
        let mut seen = Vec::new();
        for field in map {
            let unknown = || self.error_at(field.key.at, ParseErrorKind::UnknownField);
            let Content::Text(name) = &field.key.content else {
                return Err(unknown());
            };
            let name = name.as_str();
            if !known.contains(&name) {
                return Err(unknown());
            }
            if seen.contains(&name) {
                return Err(self.error_at(field.key.at, ParseErrorKind::DuplicateField));
            }
            seen.push(name);
        }
        Ok(Fields(self))
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, ParseError> {
        let list = match self.content() {
            None => return Ok(Vec::new()),
            Some(Content::List(list)) => list,
            Some(_) => return Err(self.error(ParseErrorKind::Expected("a list"))),
        };
        let item = |(index, node): (usize, &'d Node<'d>)| Place {
            text: self.text,
            path: format!("{}[{index}]", self.path),
            node: Some(node),
            at: node.at.or(self.at),
        };
        Ok(list.iter().enumerate().map(item).collect())
    }

    pub(super) fn at_least_one(&self, what: &'static str) -> Result<Vec<Self>, ParseError> {
        let items = self.items()?;
        if items.is_empty() {
            return Err(self.error(ParseErrorKind::Missing(what)));
        }
        Ok(items)
    }

    /// The text; empty when absent, as in Go.
    pub(super) fn text(&self) -> Result<&'d str, ParseError> {
        match self.content() {
            None => Ok(""),
            Some(Content::Text(text)) => Ok(text.as_str()),
            Some(_) => Err(self.error(ParseErrorKind::Expected("a text (in quotes)"))),
        }
    }
}

impl<'d> Fields<'d> {
    pub(super) fn get(&self, name: &'static str) -> Place<'d> {
        let field = match self.0.content() {
            Some(Content::Map(map)) => map
                .iter()
                .find(|field| matches!(&field.key.content, Content::Text(key) if key.as_str() == name)),
            _ => None,
        };
        let dot = if self.0.path.is_empty() { "" } else { "." };
        Place {
            text: self.0.text,
            path: format!("{}{dot}{name}", self.0.path),
            node: field.map(|field| &field.value),
            at: field
                .and_then(|field| field.value.at.or(field.key.at))
                .or(self.0.at),
        }
    }
}
