//! The guards of an edit: what comes out must mean exactly what was asked, and differ in no other line.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::edit::{Edit, Refusal};
use super::flags::{Form, command_line};
use super::splice::Draft;
use super::view;
use crate::domain::{Component, FlagName};

/// The second judge: the same edits made to the parsed value, by another way than the text.
pub(super) fn same_meaning(
    before: &str,
    after: &str,
    component: Component,
    edits: &[Edit],
) -> Result<(), Refusal> {
    let mut intended = view::document_of(before).map_err(Refusal::NotAManifest)?;
    for edit in edits {
        apply(&mut intended, component, edit)?;
    }
    let actual = view::document_of(after).map_err(Refusal::NotAManifest)?;
    if actual == intended {
        Ok(())
    } else {
        Err(Refusal::Guard("the edited text would not mean what was intended"))
    }
}

/// No line differs but the announced ones.
pub(super) fn only_announced_lines(before: &str, draft: &Draft) -> Result<(), Refusal> {
    let mut announced: BTreeMap<&str, i64> = BTreeMap::new();
    for line in &draft.added {
        *announced.entry(line).or_default() += 1;
    }
    for line in &draft.removed {
        *announced.entry(line).or_default() -= 1;
    }
    announced.retain(|_, count| *count != 0);
    let mut actual: BTreeMap<&str, i64> = BTreeMap::new();
    let diff = similar::TextDiff::from_lines(before, &draft.text);
    for change in diff.iter_all_changes() {
        let line = change.value().trim_end_matches(['\r', '\n']);
        match change.tag() {
            similar::ChangeTag::Insert => *actual.entry(line).or_default() += 1,
            similar::ChangeTag::Delete => *actual.entry(line).or_default() -= 1,
            similar::ChangeTag::Equal => {}
        }
    }
    actual.retain(|_, count| *count != 0);
    if actual == announced {
        Ok(())
    } else {
        Err(Refusal::Guard("more lines would differ than were meant to"))
    }
}

fn apply(document: &mut Value, component: Component, edit: &Edit) -> Result<(), Refusal> {
    match edit {
        Edit::SetFlag { name, value } => set_flag(document, component, name, value),
        Edit::InsertFlag { name, value } => insert_flag(document, component, name, value),
        Edit::RemoveFlag { name } => rewrite(document, component, |words| {
            words.retain(|word| word.flag != Some(name.clone()))
        }),
        Edit::AddVolume { name, path, kind } => {
            let mut host_path = Mapping::new();
            host_path.insert("path".into(), path.as_str().into());
            if !kind.is_empty() {
                host_path.insert("type".into(), kind.as_str().into());
            }
            let mut volume = Mapping::new();
            volume.insert("hostPath".into(), Value::Mapping(host_path));
            volume.insert("name".into(), name.as_str().into());
            push_unless_there(spec(document)?, "volumes", Value::Mapping(volume))
        }
        Edit::AddMount {
            volume,
            path,
            read_only,
        } => {
            let mut mount = Mapping::new();
            mount.insert("mountPath".into(), path.as_str().into());
            mount.insert("name".into(), volume.as_str().into());
            if *read_only {
                mount.insert("readOnly".into(), true.into());
            }
            push_unless_there(
                container(document, component)?,
                "volumeMounts",
                Value::Mapping(mount),
            )
        }
    }
}

/// One argument, with the flag that it belongs to.
#[derive(Clone)]
struct Word {
    text: String,
    flag: Option<FlagName>,
    in_args: bool,
}

fn set_flag(document: &mut Value, component: Component, name: &FlagName, value: &str) -> Result<(), Refusal> {
    let mut found = false;
    rewrite_with_forms(document, component, |words, forms| {
        let of_flag: Vec<usize> = (0..words.len())
            .filter(|at| words.get(*at).is_some_and(|w| w.flag.as_ref() == Some(name)))
            .collect();
        let Some((last, form)) = forms
            .iter()
            .rev()
            .find(|(_, (flag, _))| flag == name)
            .map(|(at, (_, form))| (*at, *form))
        else {
            return;
        };
        found = true;
        let kept: Vec<usize> = if form == Form::Split {
            vec![last, last + 1]
        } else {
            vec![last]
        };
        if let Some(word) = words.get_mut(last + usize::from(form == Form::Split)) {
            let written = word
                .text
                .split_once('=')
                .map_or(word.text.clone(), |(name, _)| name.to_owned());
            let already = word.text.split_once('=').map_or("true", |(_, value)| value) == value;
            word.text = match form {
                Form::Split => value.to_owned(),
                Form::Bare if already => word.text.clone(),
                Form::Joined | Form::Bare => format!("{written}={value}"),
            };
        }
        for at in of_flag.into_iter().rev().filter(|at| !kept.contains(at)) {
            words.remove(at);
        }
    })?;
    if found {
        Ok(())
    } else {
        insert_flag(document, component, name, value)
    }
}

fn insert_flag(
    document: &mut Value,
    component: Component,
    name: &FlagName,
    value: &str,
) -> Result<(), Refusal> {
    rewrite_with_forms(document, component, |words, forms| {
        let after = forms
            .last_key_value()
            .map_or(0, |(at, (_, form))| at + usize::from(*form == Form::Split));
        let in_args = words.get(after).is_some_and(|word| word.in_args);
        words.insert(
            after + 1,
            Word {
                text: format!("{name}={value}"),
                flag: Some(name.clone()),
                in_args,
            },
        );
    })
}

fn rewrite(
    document: &mut Value,
    component: Component,
    change: impl FnOnce(&mut Vec<Word>),
) -> Result<(), Refusal> {
    rewrite_with_forms(document, component, |words, _| change(words))
}

fn rewrite_with_forms(
    document: &mut Value,
    component: Component,
    change: impl FnOnce(&mut Vec<Word>, &BTreeMap<usize, (FlagName, Form)>),
) -> Result<(), Refusal> {
    let text =
        serde_yaml::to_string(document).map_err(|_| Refusal::Guard("the document cannot be written out"))?;
    let pod = view::parse(text.as_bytes()).map_err(Refusal::NotAManifest)?;
    let line = command_line(component, &pod).map_err(Refusal::CommandLine)?;
    let forms: BTreeMap<usize, (FlagName, Form)> = line
        .flags_at()
        .map(|flag| (flag.at, (flag.name.clone(), flag.form)))
        .collect();
    let holder = container(document, component)?;
    let written: Vec<(String, bool)> = [("command", false), ("args", true)]
        .into_iter()
        .flat_map(|(key, in_args)| {
            let items = holder
                .get(key)
                .and_then(Value::as_sequence)
                .cloned()
                .unwrap_or_default();
            items
                .into_iter()
                .filter_map(move |item| Some((item.as_str()?.to_owned(), in_args)))
        })
        .collect();
    let belongs = |at: usize| {
        let own = forms.get(&at).map(|(name, _)| name.clone());
        let before = at.checked_sub(1).and_then(|before| forms.get(&before));
        own.or_else(|| {
            before
                .filter(|(_, form)| *form == Form::Split)
                .map(|(name, _)| name.clone())
        })
    };
    let mut words: Vec<Word> = written
        .into_iter()
        .enumerate()
        .map(|(at, (text, in_args))| Word {
            text,
            flag: belongs(at),
            in_args,
        })
        .collect();
    change(&mut words, &forms);
    for (key, in_args) in [("command", false), ("args", true)] {
        if holder.contains_key(key) {
            let items = words
                .iter()
                .filter(|word| word.in_args == in_args)
                .map(|word| word.text.as_str().into());
            holder.insert(key.into(), Value::Sequence(items.collect()));
        }
    }
    Ok(())
}

fn spec(document: &mut Value) -> Result<&mut Mapping, Refusal> {
    let spec = document.get_mut("spec").and_then(Value::as_mapping_mut);
    spec.ok_or(Refusal::Guard("its spec is no mapping"))
}

fn container(document: &mut Value, component: Component) -> Result<&mut Mapping, Refusal> {
    let text =
        serde_yaml::to_string(document).map_err(|_| Refusal::Guard("the document cannot be written out"))?;
    let pod = view::parse(text.as_bytes()).map_err(Refusal::NotAManifest)?;
    let index = command_line(component, &pod)
        .map_err(Refusal::CommandLine)?
        .container();
    let containers = spec(document)?
        .get_mut("containers")
        .and_then(Value::as_sequence_mut);
    let container = containers
        .and_then(|containers| containers.get_mut(index))
        .and_then(Value::as_mapping_mut);
    container.ok_or(Refusal::Guard("its containers are no list of mappings"))
}

fn push_unless_there(holder: &mut Mapping, key: &str, item: Value) -> Result<(), Refusal> {
    match holder.get_mut(key) {
        None => {
            holder.insert(key.into(), Value::Sequence(vec![item]));
            Ok(())
        }
        Some(Value::Sequence(items)) => {
            if !items.contains(&item) {
                items.push(item);
            }
            Ok(())
        }
        Some(_) => Err(Refusal::Guard("a list is no list")),
    }
}
