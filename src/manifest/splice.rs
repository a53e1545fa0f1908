//! Edits of the text: one at a time, each a splice of whole lines or of one scalar.

use super::edit::{Edit, Refusal};
use super::flags::{CommandLine, Flag, Form, command_line, escaped};
use super::locate::{Block, Item, List, Located, ProbeHost};
use super::view;
use super::yaml_1_1::is_plain_string;
use crate::domain::{Component, FlagName, NodePath, StaticPod};

/// A text while it is edited, and the lines that were announced.
pub(super) struct Draft {
    pub(super) text: String,
    /// For each line, which line of the original it is; `None` when it is new or changed.
    pub(super) origins: Vec<Option<usize>>,
    /// Lines taken away, without their line ends.
    pub(super) removed: Vec<String>,
    /// Lines added, without their line ends.
    pub(super) added: Vec<String>,
}

/// The component's container in a parsed text.
struct Parsed {
    pod: StaticPod,
    line: CommandLine,
    commands: usize,
}

impl Draft {
    pub(super) fn new(text: String) -> Self {
        Self {
            origins: (0..text.lines().count()).map(Some).collect(),
            text,
            removed: Vec::new(),
            added: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, component: Component, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::SetFlag { name, value } => self.set_flag(component, name, value),
            Edit::InsertFlag { name, value } => self.insert_flag(&self.parsed(component)?, name, value),
            Edit::RemoveFlag { name } => self.remove_flag(component, name, None),
            Edit::AddVolume { name, path, kind } => self.add_volume(component, name, path, kind),
            Edit::AddMount {
                volume,
                path,
                read_only,
            } => self.add_mount(component, volume, path, *read_only),
            Edit::SetProbeHost { host } => self.set_probe_host(component, host),
        }
    }

    fn parsed(&self, component: Component) -> Result<Parsed, Refusal> {
        let pod = view::parse(self.text.as_bytes()).map_err(Refusal::NotAManifest)?;
        let line = command_line(component, &pod).map_err(Refusal::CommandLine)?;
        let commands = pod
            .containers
            .get(line.container())
            .map_or(0, |container| container.command.len());
        Ok(Parsed { pod, line, commands })
    }

    fn set_flag(&mut self, component: Component, name: &FlagName, value: &str) -> Result<(), Refusal> {
        let parsed = self.parsed(component)?;
        let occurrences = parsed.line.occurrences_of(name);
        let Some(last) = occurrences.last().map(|flag| (*flag).clone()) else {
            return self.insert_flag(&parsed, name, value);
        };
        if last.value != value {
            self.replace_value(&parsed, &last, value)?;
        }
        self.remove_flag(component, name, Some(occurrences.len() - 1))
    }

    fn replace_value(&mut self, parsed: &Parsed, flag: &Flag, value: &str) -> Result<(), Refusal> {
        let (at, word) = match flag.form {
            Form::Split => (flag.at + 1, escaped(value)),
            Form::Joined | Form::Bare => {
                let written = parsed.line.argv().get(flag.at).map_or("", String::as_str);
                let name = written.split_once('=').map_or(written, |(name, _)| name);
                (flag.at, format!("{name}={}", escaped(value)))
            }
        };
        let item = self.item(parsed, at)?;
        let old = self.text.get(item.scalar.clone()).unwrap_or("");
        let scalar = scalar_like(old, &word);
        self.splice_scalar(&item, &scalar);
        Ok(())
    }

    /// Adds a line after the last flag, or after the binary.
    fn insert_flag(&mut self, parsed: &Parsed, name: &FlagName, value: &str) -> Result<(), Refusal> {
        let there = parsed.line.occurrences_of(name);
        if there.iter().any(|flag| flag.value == value) {
            return Ok(());
        }
        let after = parsed
            .line
            .last_flag()
            .map_or(0, |flag| flag.at + usize::from(flag.form == Form::Split));
        let item = self.item(parsed, after)?;
        let line = format!(
            "{}{}",
            item.prefix,
            scalar_like("", &format!("{name}={}", escaped(value)))
        );
        self.insert_lines(item.lines.end, &[line]);
        Ok(())
    }

    /// Removes the first `only` occurrences of a flag, or all of them.
    fn remove_flag(
        &mut self,
        component: Component,
        name: &FlagName,
        only: Option<usize>,
    ) -> Result<(), Refusal> {
        let mut left = only.unwrap_or(usize::MAX);
        while left > 0 {
            let parsed = self.parsed(component)?;
            let Some(flag) = parsed
                .line
                .occurrences_of(name)
                .first()
                .map(|flag| (*flag).clone())
            else {
                break;
            };
            let words = if flag.form == Form::Split { 2 } else { 1 };
            let args = parsed.line.argv().len() - parsed.commands;
            if flag.at >= parsed.commands && args == words {
                return Err(Refusal::Shape {
                    what: "its args would be empty".to_owned(),
                    line: None,
                });
            }
            for at in (flag.at..flag.at + words).rev() {
                let item = self.item(&parsed, at)?;
                self.remove_line(&item);
            }
            left -= 1;
        }
        Ok(())
    }

    fn item(&self, parsed: &Parsed, at: usize) -> Result<Item, Refusal> {
        let (list, index) = if at < parsed.commands {
            (List::Command, at)
        } else {
            (List::Args, at - parsed.commands)
        };
        Located::new(&self.text)?.item(parsed.line.container(), list, index)
    }

    fn add_volume(
        &mut self,
        component: Component,
        name: &str,
        path: &NodePath,
        kind: &str,
    ) -> Result<(), Refusal> {
        let pod = self.parsed(component)?.pod;
        if let Some(same) = pod.host_paths.iter().find(|volume| volume.name == name) {
            let already = same.path == *path && same.kind == kind;
            return if already {
                Ok(())
            } else {
                Err(Refusal::NameTaken {
                    name: name.to_owned(),
                })
            };
        }
        if pod.volume_names.iter().any(|volume| volume == name) {
            return Err(Refusal::NameTaken {
                name: name.to_owned(),
            });
        }
        let mut lines = vec![
            "- hostPath:".to_owned(),
            format!("    path: {}", scalar_like("", path.as_str())),
        ];
        if !kind.is_empty() {
            lines.push(format!("    type: {}", scalar_like("", kind)));
        }
        lines.push(format!("  name: {}", scalar_like("", name)));
        self.add_item(None, "volumes", &lines)
    }

    fn add_mount(
        &mut self,
        component: Component,
        volume: &str,
        path: &NodePath,
        read_only: bool,
    ) -> Result<(), Refusal> {
        let parsed = self.parsed(component)?;
        let container = parsed.line.container();
        let mounts = parsed
            .pod
            .containers
            .get(container)
            .map_or(&[][..], |container| container.mounts.as_slice());
        if let Some(same) = mounts.iter().find(|mount| mount.path == *path) {
            let already = same.volume == volume && same.read_only == read_only && same.sub_path.is_none();
            return if already {
                Ok(())
            } else {
                Err(Refusal::MountTaken { path: path.clone() })
            };
        }
        let mut lines = vec![
            format!("- mountPath: {}", scalar_like("", path.as_str())),
            format!("  name: {}", scalar_like("", volume)),
        ];
        if read_only {
            lines.push("  readOnly: true".to_owned());
        }
        self.add_item(Some(container), "volumeMounts", &lines)
    }

    fn set_probe_host(&mut self, component: Component, host: &str) -> Result<(), Refusal> {
        let container = self.parsed(component)?.line.container();
        for probe in PROBES {
            match Located::new(&self.text)?.probe_host(container, probe)? {
                None => {}
                Some(ProbeHost::At(item)) => {
                    let old = self.text.get(item.scalar.clone()).unwrap_or("").to_owned();
                    if !asks_there(old.trim_matches(['"', '\'']), host) {
                        self.splice_scalar(&item, &scalar_like(&old, host));
                    }
                }
                Some(ProbeHost::Missing(Block { indent, end })) => {
                    let line = format!("{}host: {}", " ".repeat(indent), scalar_like("", host));
                    self.insert_lines(end, &[line]);
                }
            }
        }
        Ok(())
    }

    fn add_item(&mut self, container: Option<usize>, key: &str, lines: &[String]) -> Result<(), Refusal> {
        let located = Located::new(&self.text)?;
        let (block, mut all) = match located.sequence(container, key)? {
            Some(block) => (block, Vec::new()),
            None => (located.mapping(container)?, vec![format!("{key}:")]),
        };
        all.extend_from_slice(lines);
        let Block { indent, end } = block;
        let indented: Vec<String> = all
            .iter()
            .map(|line| format!("{}{line}", " ".repeat(indent)))
            .collect();
        self.insert_lines(end, &indented);
        Ok(())
    }

    /// The line end of the line before `at`.
    fn line_ending(&self, at: usize) -> &'static str {
        let before = self.text.get(..at).unwrap_or("");
        let line = before.strip_suffix('\n').unwrap_or(before);
        let first = before.split_inclusive('\n').next().unwrap_or("");
        // A last line without a newline tells nothing; then the first line does.
        let model = if before.ends_with('\n') {
            line
        } else {
            first.trim_end_matches('\n')
        };
        if model.ends_with('\r') { "\r\n" } else { "\n" }
    }

    fn line_index(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or("").matches('\n').count()
    }

    fn insert_lines(&mut self, at: usize, lines: &[String]) {
        let ending = self.line_ending(at);
        let mut text = lines.join(ending);
        let mut index = self.line_index(at);
        // A last line without its newline stays the form of the file: the newline goes before the new line.
        if at == self.text.len() && !self.text.ends_with('\n') {
            text.insert_str(0, ending);
            index += 1;
        } else {
            text.push_str(ending);
        }
        self.text.insert_str(at, &text);
        let new = std::iter::repeat_n(None, lines.len());
        self.origins.splice(index..index, new);
        self.added.extend_from_slice(lines);
    }

    fn splice_scalar(&mut self, item: &Item, scalar: &str) {
        self.removed.push(self.line(item));
        let index = self.line_index(item.lines.start);
        if let Some(origin) = self.origins.get_mut(index) {
            *origin = None;
        }
        self.text.replace_range(item.scalar.clone(), scalar);
        let grown = item.lines.end + scalar.len() - item.scalar.len();
        let line = self
            .text
            .get(item.lines.start..grown)
            .unwrap_or("")
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        self.added.push(line);
    }

    fn remove_line(&mut self, item: &Item) {
        self.removed.push(self.line(item));
        let index = self.line_index(item.lines.start);
        if index < self.origins.len() {
            self.origins.remove(index);
        }
        self.text.replace_range(item.lines.clone(), "");
    }

    fn line(&self, item: &Item) -> String {
        self.text
            .get(item.lines.clone())
            .unwrap_or("")
            .trim_end_matches(['\r', '\n'])
            .to_owned()
    }
}

/// The probes of a container.
pub(super) const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// True when a probe that asks `written` asks `host`: the node's own name for itself is good for its loopback address.
pub(super) fn asks_there(written: &str, host: &str) -> bool {
    let is_loopback = |host: &str| {
        host.parse::<std::net::IpAddr>()
            .is_ok_and(|host| host.is_loopback())
    };
    written == host || written == "localhost" && is_loopback(host)
}

/// `word` as a YAML scalar in the style of `model`: single-quoted, double-quoted, or plain where YAML reads it back.
fn scalar_like(model: &str, word: &str) -> String {
    let double = || serde_json::Value::from(word).to_string();
    let single = || format!("'{}'", word.replace('\'', "''"));
    let control = word.chars().any(char::is_control);
    match model.chars().next() {
        _ if control => double(),
        Some('\'') => single(),
        Some('"') => double(),
        _ if is_plain_string(word) => word.to_owned(),
        _ => single(),
    }
}
