//! The guards of an edit: what comes out must mean exactly what was asked, and differ in no other line.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::edit::{Edit, Refusal};
use super::flags::{CommandLine, Flag, Form, command_line, escaped};
use super::splice::{Draft, PROBES, asks_there};
use super::{view, yaml};
use crate::domain::{Component, FlagName, NodePath};

/// The second judge: the same edits made to the parsed value, by another way than the text.
pub(super) fn same_meaning(
    mut intended: Value,
    after: &str,
    component: Component,
    edits: &[Edit],
) -> Result<(), Refusal> {
    for edit in edits {
        apply(&mut intended, component, edit)?;
    }
    let actual = yaml::text_of(after.as_bytes())
        .and_then(yaml::document_of)
        .map_err(Refusal::NotAManifest)?;
    if actual.value != intended {
        return Err(Refusal::Guard(
            "the edited text would not mean what was intended (an anchor may repeat a part of it elsewhere)",
        ));
    }
    // What was understood before must be understood after, too.
    let pod = view::pod_of(after, &actual).map_err(Refusal::NotAManifest)?;
    command_line(component, &pod)
        .map(drop)
        .map_err(Refusal::CommandLine)
}

/// No line differs but the announced ones: all others survive byte for byte and in order.
pub(super) fn only_announced_lines(before: &str, draft: &Draft) -> Result<(), Refusal> {
    let refused = Err(Refusal::Guard("more lines would differ than were meant to"));
    let lines = |text| str::lines(text).collect::<Vec<_>>();
    let (old, new) = (lines(before), lines(&draft.text));
    if new.len() != draft.origins.len() {
        return refused;
    }
    let kept: Vec<usize> = draft.origins.iter().flatten().copied().collect();
    let survives = new.iter().zip(&draft.origins).all(|(line, origin)| match origin {
        Some(origin) => old.get(*origin) == Some(line),
        None => draft.added.iter().any(|added| added == line),
    });
    let in_order = kept.is_sorted_by(|one, next| one < next);
    let gone_is_announced = old.iter().enumerate().all(|(index, line)| {
        kept.binary_search(&index).is_ok() || draft.removed.iter().any(|removed| removed == line)
    });
    // Only items of lists and the host of a probe are ever taken away or changed, never a comment or another key.
    let items = draft
        .removed
        .iter()
        .map(|line| line.trim_start())
        .all(|line| line.starts_with('-') || line.starts_with("host:"));
    if survives && in_order && gone_is_announced && items {
        Ok(())
    } else {
        refused
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
            let same = |there: &Value| there.get("name").and_then(Value::as_str) == Some(name);
            push_unless_there(spec(document)?, "volumes", volume, same)
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
            let same = |there: &Value| {
                let at = there.get("mountPath").and_then(Value::as_str);
                at.and_then(|at| at.parse::<NodePath>().ok()).as_ref() == Some(path)
            };
            let index = line_of(document, component)?.container();
            push_unless_there(container(document, index)?, "volumeMounts", mount, same)
        }
        Edit::SetProbeHost { host } => {
            let index = line_of(document, component)?.container();
            let container = container(document, index)?;
            for probe in PROBES {
                let asks = container
                    .get_mut(probe)
                    .and_then(|probe| probe.get_mut("httpGet"));
                let Some(asks) = asks.and_then(Value::as_mapping_mut) else {
                    continue;
                };
                let written = asks.get("host").and_then(Value::as_str);
                if !written.is_some_and(|written| asks_there(written, host)) {
                    asks.insert("host".into(), host.as_str().into());
                }
            }
            Ok(())
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
    rewrite_with_flags(document, component, |words, flags| {
        let Some(last) = flags.values().rev().find(|flag| flag.name == *name) else {
            return;
        };
        found = true;
        let split = usize::from(last.form == Form::Split);
        if last.value != value
            && let Some(word) = words.get_mut(last.at + split)
        {
            let written = word
                .text
                .split_once('=')
                .map_or(word.text.as_str(), |(name, _)| name);
            word.text = match last.form {
                Form::Split => escaped(value),
                Form::Joined | Form::Bare => format!("{written}={}", escaped(value)),
            };
        }
        let mut at = 0;
        words.retain(|word| {
            let kept = (last.at..=last.at + split).contains(&at);
            at += 1;
            kept || word.flag.as_ref() != Some(name)
        });
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
    rewrite_with_flags(document, component, |words, flags| {
        if flags
            .values()
            .any(|flag| flag.name == *name && flag.value == value)
        {
            return;
        }
        let after = flags
            .last_key_value()
            .map_or(0, |(at, flag)| at + usize::from(flag.form == Form::Split));
        let in_args = words.get(after).is_some_and(|word| word.in_args);
        words.insert(
            after + 1,
            Word {
                text: format!("{name}={}", escaped(value)),
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
    rewrite_with_flags(document, component, |words, _| change(words))
}

fn rewrite_with_flags(
    document: &mut Value,
    component: Component,
    change: impl FnOnce(&mut Vec<Word>, &BTreeMap<usize, Flag>),
) -> Result<(), Refusal> {
    let line = line_of(document, component)?;
    let flags: BTreeMap<usize, Flag> = line.flags_at().map(|flag| (flag.at, flag.clone())).collect();
    let holder = container(document, line.container())?;
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
        let own = flags.get(&at);
        let before = at.checked_sub(1).and_then(|before| flags.get(&before));
        own.or_else(|| before.filter(|flag| flag.form == Form::Split))
            .map(|flag| flag.name.clone())
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
    change(&mut words, &flags);
    for (key, in_args) in [("command", false), ("args", true)] {
        // A list that is not given, or null, stays so: no flag ever goes there.
        if holder.get(key).is_some_and(Value::is_sequence) {
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

fn container(document: &mut Value, index: usize) -> Result<&mut Mapping, Refusal> {
    let containers = spec(document)?
        .get_mut("containers")
        .and_then(Value::as_sequence_mut);
    let container = containers
        .and_then(|containers| containers.get_mut(index))
        .and_then(Value::as_mapping_mut);
    container.ok_or(Refusal::Guard("its containers are no list of mappings"))
}

fn line_of(document: &Value, component: Component) -> Result<CommandLine, Refusal> {
    let pod = view::pod_of_value(document.clone()).map_err(Refusal::NotAManifest)?;
    command_line(component, &pod).map_err(Refusal::CommandLine)
}

fn push_unless_there(
    holder: &mut Mapping,
    key: &str,
    item: Mapping,
    same: impl Fn(&Value) -> bool,
) -> Result<(), Refusal> {
    match holder.get_mut(key) {
        None => {
            holder.insert(key.into(), Value::Sequence(vec![Value::Mapping(item)]));
            Ok(())
        }
        Some(Value::Sequence(items)) => {
            if !items.iter().any(same) {
                items.push(Value::Mapping(item));
            }
            Ok(())
        }
        Some(_) => Err(Refusal::Guard("a list is no list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# one\na:\n- --x=1 # why\n- --y=2\n# two\n";

    /// A draft as an editor at fault would leave it.
    fn draft(text: &str, origins: &[Option<usize>], removed: &[&str], added: &[&str]) -> Draft {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let mut draft = Draft::new(text.to_owned());
        draft.origins = origins.to_vec();
        draft.removed = owned(removed);
        draft.added = owned(added);
        draft
    }

    #[test]
    fn announced_lines_pass() {
        let set = "# one\na:\n- --x=3 # why\n- --y=2\n# two\n";
        let origins = [Some(0), Some(1), None, Some(3), Some(4)];
        let set = draft(set, &origins, &["- --x=1 # why"], &["- --x=3 # why"]);
        assert_eq!(only_announced_lines(BEFORE, &set), Ok(()));
        let removed = "# one\na:\n- --x=1 # why\n# two\n";
        let removed = draft(removed, &[Some(0), Some(1), Some(2), Some(4)], &["- --y=2"], &[]);
        assert_eq!(only_announced_lines(BEFORE, &removed), Ok(()));
    }

    #[test]
    fn every_other_difference_is_refused() {
        let all: Vec<Option<usize>> = (0..5).map(Some).collect();
        let moved = "# two\na:\n- --x=1 # why\n- --y=2\n# one\n";
        let table = [
            // A comment lost, altered, moved; a line that is not announced; a comment that is announced.
            draft("a:\n- --x=1 # why\n- --y=2\n# two\n", &all[1..], &[], &[]),
            draft(&BEFORE.replace("why", "now"), &all, &[], &[]),
            draft(moved, &[Some(4), Some(1), Some(2), Some(3), Some(0)], &[], &[]),
            draft(moved, &all, &[], &[]),
            draft(&BEFORE.replace("--x=1", "--x=2"), &all, &[], &[]),
            draft(&BEFORE.replace("- --y=2", "- --y=2 "), &all, &[], &[]),
            draft(&format!("{BEFORE}- --z=1\n"), &all, &[], &["- --z=1"]),
            draft(
                &format!("{BEFORE}- --z=1\n"),
                &[all.as_slice(), &[None]].concat(),
                &[],
                &[],
            ),
            draft("a:\n- --x=1 # why\n- --y=2\n# two\n", &all[1..], &["# one"], &[]),
        ];
        for draft in table {
            let refused = only_announced_lines(BEFORE, &draft);
            assert!(matches!(refused, Err(Refusal::Guard(_))), "{}", draft.text);
        }
    }

    #[test]
    fn a_text_of_another_meaning_is_refused() {
        let text = include_str!("../../tests/manifests/v1.35/kube-scheduler.yaml");
        let edits = [Edit::SetFlag {
            name: "leader-elect".parse().unwrap(),
            value: "false".to_owned(),
        }];
        let meant = |after: &str| {
            let before = yaml::document_of(text).unwrap().value;
            same_meaning(before, after, Component::Scheduler, &edits)
        };
        assert_eq!(meant(&text.replace("elect=true", "elect=false")), Ok(()));
        for after in [
            text.to_owned(),
            text.replace("--leader-elect=true", "--leader-elect=0"),
            text.replace("elect=true", "elect=false")
                .replace("readOnly: true", "readOnly: false"),
            text.replace("elect=true", "elect=false")
                .replace("status: {}", "status:"),
        ] {
            assert!(matches!(meant(&after), Err(Refusal::Guard(_))), "{after}");
        }
    }
}
