//! Where things stand in a manifest's text: byte ranges from yaml-edit's lossless tree.

use std::ops::Range;
use std::str::FromStr;

use yaml_edit::{YamlFile, YamlNode};

use super::edit::Refusal;

/// The text of a manifest with its tree.
pub(super) struct Located<'a> {
    text: &'a str,
    spec: YamlNode,
}

/// Which of a container's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Command,
    Args,
}

impl List {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Args => "args",
        }
    }
}

/// A scalar that is one item of a block sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The scalar itself.
    pub(super) scalar: Range<usize>,
    /// Its lines, the newline included.
    pub(super) lines: Range<usize>,
    /// What stands before the scalar on its line: indentation, dash, space.
    pub(super) prefix: String,
}

/// Where an HTTP probe says which host it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeHost {
    /// There.
    At(Item),
    /// Nowhere: the kubelet asks the pod's address. A key can be added here.
    Missing(Block),
}

/// A block collection to which something can be added at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The column of its dashes or keys.
    pub(super) indent: usize,
    /// Where its last line ends, the newline included.
    pub(super) end: usize,
}

impl<'a> Located<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Refusal> {
        let shape = |what: &str| Refusal::Shape {
            what: what.to_owned(),
            line: None,
        };
        let file = YamlFile::from_str(text).map_err(|_| shape("the editor's parser does not read it"))?;
        let document = file
            .documents()
            .next()
            .ok_or_else(|| shape("it holds no document"))?;
        if file.to_string() != text {
            return Err(shape("the editor's parser does not give it back byte for byte"));
        }
        let spec = document.get("spec").ok_or_else(|| shape("it has no spec"))?;
        Ok(Self { text, spec })
    }

    fn range(node: &YamlNode) -> Range<usize> {
        let range = node.byte_range();
        range.start as usize..range.end as usize
    }

    fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or("")
    }

    fn line_of(&self, offset: usize) -> usize {
        self.slice(0..offset).matches('\n').count() + 1
    }

    fn refuse<T>(&self, node: &YamlNode, what: &str) -> Result<T, Refusal> {
        Err(Refusal::Shape {
            what: what.to_owned(),
            line: Some(self.line_of(Self::range(node).start)),
        })
    }

    fn container(&self, index: usize) -> Result<YamlNode, Refusal> {
        let containers = self
            .spec
            .get("containers")
            .and_then(|containers| containers.get_item(index));
        containers.ok_or_else(|| Refusal::Shape {
            what: "its containers are no plain list".to_owned(),
            line: None,
        })
    }

    /// The item of a container's command or args.
    pub(super) fn item(&self, container: usize, list: List, index: usize) -> Result<Item, Refusal> {
        let container = self.container(container)?;
        let Some(sequence) = container.get(list.key()) else {
            return self.refuse(
                &container,
                &format!("its {} is not where the editor looks for it", list.key()),
            );
        };
        if !matches!(sequence, YamlNode::Sequence(_)) || self.slice(Self::range(&sequence)).starts_with('[') {
            return self.refuse(
                &sequence,
                &format!(
                    "its {} is not written as a list with one item on a line",
                    list.key()
                ),
            );
        }
        let Some(node) = sequence.get_item(index) else {
            return self.refuse(&sequence, "the list has fewer items than the parsed one");
        };
        if !matches!(node, YamlNode::Scalar(_)) {
            return self.refuse(
                &node,
                "an item of the list is no plain text (an alias, a tag or a list of its own)",
            );
        }
        let scalar = Self::range(&node);
        let (start, end) = (self.line_start(scalar.start), self.line_end(scalar.end));
        let prefix = self.slice(start..scalar.start);
        let after = self.slice(scalar.end..end).trim();
        let alone = prefix.trim() == "-" && (after.is_empty() || after.starts_with('#'));
        let one_line = !self.slice(scalar.clone()).contains(['\n', '\r']);
        if !alone || !one_line {
            return self.refuse(
                &node,
                "an item of the list does not stand on one line of its own (a block, an anchor or a tag)",
            );
        }
        Ok(Item {
            scalar,
            lines: start..end,
            prefix: prefix.to_owned(),
        })
    }

    /// The sequence under that key, of the pod's spec or of a container; `None` when the key is not there.
    pub(super) fn sequence(&self, container: Option<usize>, key: &str) -> Result<Option<Block>, Refusal> {
        let holder = self.holder(container)?;
        let Some(sequence) = holder.get(key) else {
            return Ok(None);
        };
        let range = Self::range(&sequence);
        let block = matches!(sequence, YamlNode::Sequence(_)) && self.slice(range.clone()).starts_with('-');
        if !block {
            return self.refuse(
                &sequence,
                &format!("its {key} is not written as a list with its items on lines of their own"),
            );
        }
        Ok(Some(Block {
            indent: range.start - self.line_start(range.start),
            end: self.end_of_content(&range),
        }))
    }

    /// The mapping of the pod's spec or of a container, to which a key can be added.
    pub(super) fn mapping(&self, container: Option<usize>) -> Result<Block, Refusal> {
        let holder = self.holder(container)?;
        let range = Self::range(&holder);
        if !matches!(holder, YamlNode::Mapping(_)) || self.slice(range.clone()).starts_with('{') {
            return self.refuse(&holder, "it is not written with one key on a line");
        }
        Ok(Block {
            indent: range.start - self.line_start(range.start),
            end: self.end_of_content(&range),
        })
    }

    /// The host that a probe of a container asks; `None` where there is no such probe, or it does not ask by HTTP.
    pub(super) fn probe_host(&self, container: usize, probe: &str) -> Result<Option<ProbeHost>, Refusal> {
        let container = self.container(container)?;
        let Some(asks) = container.get(probe).and_then(|probe| probe.get("httpGet")) else {
            return Ok(None);
        };
        let range = Self::range(&asks);
        if !matches!(asks, YamlNode::Mapping(_)) || self.slice(range.clone()).starts_with('{') {
            return self.refuse(
                &asks,
                &format!("its {probe} is not written with one key on a line"),
            );
        }
        let Some(host) = asks.get("host") else {
            return Ok(Some(ProbeHost::Missing(Block {
                indent: range.start - self.line_start(range.start),
                end: self.end_of_content(&range),
            })));
        };
        let scalar = Self::range(&host);
        let (start, end) = (self.line_start(scalar.start), self.line_end(scalar.end));
        let prefix = self.slice(start..scalar.start);
        let after = self.slice(scalar.end..end).trim();
        let alone = prefix.trim() == "host:" && (after.is_empty() || after.starts_with('#'));
        let one_line = !self.slice(scalar.clone()).contains(['\n', '\r']);
        if !matches!(host, YamlNode::Scalar(_)) || !alone || !one_line {
            return self.refuse(
                &host,
                &format!("the host of its {probe} does not stand on one line of its own"),
            );
        }
        Ok(Some(ProbeHost::At(Item {
            scalar,
            lines: start..end,
            prefix: prefix.to_owned(),
        })))
    }

    fn holder(&self, container: Option<usize>) -> Result<YamlNode, Refusal> {
        container.map_or_else(|| Ok(self.spec.clone()), |index| self.container(index))
    }

    fn end_of_content(&self, range: &Range<usize>) -> usize {
        let content = self.slice(range.clone()).trim_end().len();
        self.line_end(range.start + content)
    }

    fn line_start(&self, offset: usize) -> usize {
        self.slice(0..offset).rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn line_end(&self, offset: usize) -> usize {
        self.slice(offset..self.text.len())
            .find('\n')
            .map_or(self.text.len(), |newline| offset + newline + 1)
    }
}
