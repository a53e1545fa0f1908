//! The edit of one manifest: all that is wanted of it at once, less what the node refused, and only if every file that a
//! flag names is there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bounce::early_end;
use super::build::{Circumstances, not_asked, times};
use super::change::{Change, Deed, ManifestEdit, Withheld, WithheldReason};
use super::kits::{self, Prepared};
use super::select::required_flag_id;
use crate::controls::Kit;
use crate::domain::{
    Component, ControlId, Digest, Fact, FlagName, Manifest, NodePath, Observation, Process, StaticPod,
};
use crate::journal::{Act, EditedManifest, Fault, RefusedFlag};
use crate::manifest::{
    self, Edit, Mounted, NamedPath, command_line, mounted_from, named_paths, paths_of_value,
};

/// A flag that a control wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) control: ControlId,
    pub(super) name: FlagName,
    pub(super) value: String,
    /// The conditional remedy that it belongs to.
    pub(super) kit: Option<Kit>,
}

/// Someone else undoes an edit: after so many restarts within [`FLAP_WITHIN`] Holdfast backs off.
const FLAP_EDITS: usize = 5;
const FLAP_WITHIN: Duration = Duration::from_secs(3600);

/// The edit that sets what is wanted, last, behind what must be made before it; and what is left out of it, because the node refused it
/// or something is missing.
///
/// # Errors
/// What is withheld, when no edit can be made.
pub(super) fn edit_of(
    component: Component,
    wanted: &[Wanted],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Result<(Vec<Change>, Vec<Withheld>), Vec<Withheld>> {
    let all = |reason| vec![withheld(component, wanted.iter(), reason)];
    let manifest = match not_asked(observation.manifests.get(&component)) {
        Fact::Known(manifest) => manifest,
        Fact::Absent => return Err(all(WithheldReason::NotEditable("it is not there".to_owned()))),
        Fact::Unknown(why) => return Err(all(WithheldReason::NotEditable(why.to_string()))),
    };
    let image = image_of(component, manifest).unwrap_or_default();
    let all_wanted = without_folds_of_others(wanted);
    let (wanted, mut left_out) = without_refused_flags(component, all_wanted.clone(), &image, circumstances);
    let (wanted, prepared, unready) = kits::prepare(component, wanted, observation, circumstances);
    left_out.extend(unready);
    let (wanted, missing) = without_missing_files(component, wanted, manifest, observation);
    left_out.extend(missing);
    let wanted = without_halves(component, all_wanted, wanted, &mut left_out);
    if wanted.is_empty() {
        return Err(left_out);
    }
    match change(
        component,
        &wanted,
        &prepared,
        manifest,
        image,
        observation,
        circumstances,
    ) {
        Ok(change) => {
            let mut changes = prepared.changes;
            changes.push(change);
            Ok((changes, left_out))
        }
        Err(reason) => {
            left_out.push(withheld(component, wanted.iter().copied(), reason));
            Err(left_out)
        }
    }
}

fn change(
    component: Component,
    wanted: &[&Wanted],
    prepared: &Prepared,
    manifest: &Manifest,
    image: String,
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Result<Change, WithheldReason> {
    let flags = flags_of(wanted);
    // Nothing is as good as no flag, unless it is what the operator wrote down.
    let is_required = |name: &FlagName| {
        let id = required_flag_id(component, name);
        wanted.iter().any(|wanted| wanted.control == id)
    };
    let set = flags.iter().map(|flag| {
        let name = flag.name.clone();
        if flag.value.is_empty() && !is_required(&name) {
            return Edit::RemoveFlag { name };
        }
        Edit::SetFlag {
            name,
            value: flag.value.clone(),
        }
    });
    let edits: Vec<Edit> = set.chain(prepared.edits.iter().cloned()).collect();
    let after = manifest::edit(&manifest.text, component, &edits).map_err(|refusal| {
        WithheldReason::NotEditable(format!("{refusal}; {}", by_hand(component, &flags)))
    })?;
    let touches_encryption = flags
        .iter()
        .any(|flag| flag.name.as_str().starts_with("encryption-provider-config"));
    let wanted = Edited {
        component,
        after,
        image,
        flags,
        controls: controls_of(wanted.iter().copied()),
        touches_encryption,
        there: prepared.there.clone(),
    };
    change_to(wanted, manifest, observation, circumstances)
}

/// Each flag once: several controls may want the same of one.
fn flags_of(wanted: &[&Wanted]) -> Vec<RefusedFlag> {
    let mut flags: Vec<RefusedFlag> = Vec::new();
    for wanted in wanted {
        let flag = RefusedFlag {
            name: wanted.name.clone(),
            value: wanted.value.clone(),
        };
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    flags
}

/// Each control once: one may want several flags.
pub(super) fn controls_of<'a>(wanted: impl Iterator<Item = &'a Wanted>) -> Vec<ControlId> {
    let mut controls: Vec<ControlId> = Vec::new();
    for wanted in wanted {
        if !controls.contains(&wanted.control) {
            controls.push(wanted.control.clone());
        }
    }
    controls
}

/// What an edited manifest is to be.
pub(super) struct Edited {
    pub(super) component: Component,
    /// Its text.
    pub(super) after: String,
    /// The image that its container runs.
    pub(super) image: String,
    /// The flags that are set.
    pub(super) flags: Vec<RefusedFlag>,
    /// The controls that it serves.
    pub(super) controls: Vec<ControlId>,
    /// True when values may be written with it that cannot be read without it.
    pub(super) touches_encryption: bool,
    /// Files and folders that are there, or are made before it.
    pub(super) there: BTreeSet<NodePath>,
}

/// The change to an edited manifest, if every file that it names is there, and the node has not refused it before.
pub(super) fn change_to(
    wanted: Edited,
    manifest: &Manifest,
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Result<Change, WithheldReason> {
    let Edited {
        component,
        after,
        image,
        flags,
        controls,
        touches_encryption,
        there,
    } = wanted;
    files_are_there(component, &after, &there, observation).map_err(WithheldReason::FileMissing)?;
    let path = manifest.path.clone();
    let id = Digest::of(format!("edit {path} {image}\0{}\0{after}", manifest.text).as_bytes());
    let known = circumstances
        .journal
        .refusals
        .iter()
        .find(|refusal| refusal.change == id);
    if let Some(refusal) = known.filter(|_| !circumstances.retry) {
        return Err(WithheldReason::Refused(told(&refusal.fault)));
    }
    flapping(component, &flags, circumstances)?;
    let processes = processes_of(component, observation);
    let edit = ManifestEdit {
        component,
        path,
        before: manifest.text.clone(),
        after,
        flags,
        image,
        processes: processes.iter().map(|process| process.id).collect(),
        pods: processes
            .iter()
            .filter_map(|process| process.pod_uid.clone())
            .collect(),
        touches_encryption,
        drain: early_end(
            component,
            &manifest.pod,
            &processes,
            circumstances.config.disruption.drain,
        )
        .ok(),
    };
    Ok(Change {
        id,
        controls,
        deed: Deed::EditManifest(edit),
    })
}

fn processes_of(component: Component, observation: &Observation) -> Vec<Process> {
    let known = observation.processes.get(&component).and_then(Fact::known);
    known.cloned().unwrap_or_default()
}

pub(super) fn image_of(component: Component, manifest: &Manifest) -> Option<String> {
    let index = command_line(component, &manifest.pod).ok()?.container();
    manifest
        .pod
        .containers
        .get(index)
        .map(|container| container.image.clone())
}

fn by_hand(component: Component, flags: &[RefusedFlag]) -> String {
    let flags: Vec<String> = flags
        .iter()
        .map(|flag| format!("{}={}", flag.name, flag.value))
        .collect();
    format!("set {} in the command of {component} by hand", flags.join(" "))
}

/// What the node said when it refused a change.
pub(super) fn told(fault: &Fault) -> String {
    match fault.last_words.last() {
        Some(words) => format!("{}. Its last words: {words}", fault.why),
        None => fault.why.clone(),
    }
}

/// Why the node did not bear a flag with that value, by the component's own log.
pub(super) fn fault_of<'a>(
    component: Component,
    (name, value): (&FlagName, &str),
    image: &str,
    circumstances: &Circumstances<'a>,
) -> Option<&'a Fault> {
    let refusals = circumstances.journal.refusals.iter().rev();
    refusals
        .filter(|_| !circumstances.retry)
        .find_map(|refusal| match (&refusal.act, &refusal.fault.flag) {
            (Act::EditManifest(edit), Some(flag))
                if edit.component == component
                    && edit.image == image
                    && flag.name == *name
                    && flag.value == value =>
            {
                Some(&refusal.fault)
            }
            _ => None,
        })
}

/// A flag that another control gives a value stands once anyway.
fn without_folds_of_others(wanted: &[Wanted]) -> Vec<&Wanted> {
    let is_fold = |one: &Wanted| one.kit == Some(Kit::OneFlag);
    let others = |name: &FlagName| wanted.iter().any(|one| one.name == *name && !is_fold(one));
    let stays = wanted.iter().filter(|one| !is_fold(one) || !others(&one.name));
    stays.collect()
}

/// A certificate without its key, or the other way round, would keep the component from starting: such flags go together or not at all.
fn without_halves<'a>(
    component: Component,
    all: Vec<&'a Wanted>,
    kept: Vec<&'a Wanted>,
    left_out: &mut Vec<Withheld>,
) -> Vec<&'a Wanted> {
    let is_torn = |one: &Wanted| {
        one.kit.is_some_and(Kit::is_about_pairs)
            && all
                .iter()
                .any(|other| other.control == one.control && !kept.contains(other))
    };
    let (torn, whole): (Vec<&Wanted>, Vec<&Wanted>) = kept.iter().copied().partition(|one| is_torn(one));
    for one in torn {
        let why = left_out
            .iter()
            .find(|held| held.controls.contains(&one.control))
            .map_or_else(String::new, |held| {
                format!("what belongs to it is not set: {}", held.reason)
            });
        left_out.push(withheld(
            component,
            [one].into_iter(),
            WithheldReason::NotReady(why),
        ));
    }
    whole
}

/// A flag that the component's own log named as being at fault is left out, so that it does not hold up the others: until
/// its value or the image changes.
fn without_refused_flags<'a>(
    component: Component,
    wanted: Vec<&'a Wanted>,
    image: &str,
    circumstances: &Circumstances<'_>,
) -> (Vec<&'a Wanted>, Vec<Withheld>) {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for flag in wanted {
        match fault_of(component, (&flag.name, &flag.value), image, circumstances) {
            None => kept.push(flag),
            Some(fault) => {
                left_out.push(withheld(
                    component,
                    [flag].into_iter(),
                    WithheldReason::Refused(told(fault)),
                ));
            }
        }
    }
    (kept, left_out)
}

pub(super) fn withheld<'a>(
    component: Component,
    wanted: impl Iterator<Item = &'a Wanted> + Clone,
    reason: WithheldReason,
) -> Withheld {
    let all: Vec<&Wanted> = wanted.clone().collect();
    let flags: Vec<String> = flags_of(&all)
        .iter()
        .map(|flag| format!("{}={}", flag.name, flag.value))
        .collect();
    Withheld {
        controls: controls_of(wanted),
        object: format!("{component} {}", flags.join(" ")),
        reason,
    }
}

fn flapping(
    component: Component,
    flags: &[RefusedFlag],
    circumstances: &Circumstances<'_>,
) -> Result<(), WithheldReason> {
    let same = |act: &Act| {
        matches!(act, Act::EditManifest(EditedManifest { component: of, flags: set, .. })
            if *of == component && set.iter().any(|flag| flags.contains(flag)))
    };
    let times = times(circumstances, FLAP_WITHIN, same);
    if times < FLAP_EDITS || circumstances.asked {
        return Ok(());
    }
    Err(WithheldReason::Flapping(format!(
        "it was mended {times} times in an hour, each time by a restart"
    )))
}

/// A flag that names a file which is not there, or which the pod would not see, is left out, so that it does not hold up
/// the others.
fn without_missing_files<'a>(
    component: Component,
    wanted: Vec<&'a Wanted>,
    manifest: &Manifest,
    observation: &Observation,
) -> (Vec<&'a Wanted>, Vec<Withheld>) {
    let missing = |flag: &Wanted| {
        // What is made with it, or was looked at with what it needs.
        let provided = |kit: Kit| kit.provision(&flag.name, &flag.value, &BTreeSet::new());
        if flag.kit.is_some_and(|kit| !matches!(provided(kit), Ok(None))) {
            return None;
        }
        // A command line that is not understood is no matter of files.
        command_line(component, &manifest.pod).ok()?;
        paths_of_value(component, &flag.name, &flag.value)
            .iter()
            .find_map(|path| file_is_there(component, &manifest.pod, (&flag.name, path), observation).err())
    };
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for flag in wanted {
        match missing(flag) {
            None => kept.push(flag),
            Some(why) => {
                let reason = WithheldReason::FileMissing(why);
                left_out.push(withheld(component, [flag].into_iter(), reason));
            }
        }
    }
    (kept, left_out)
}

/// Every file or folder that a flag of the edited manifest names exists on the node and is mounted.
pub(super) fn files_are_there(
    component: Component,
    after: &str,
    there: &BTreeSet<NodePath>,
    observation: &Observation,
) -> Result<(), String> {
    let pod = manifest::parse(after.as_bytes()).map_err(|error| error.to_string())?;
    let line = command_line(component, &pod).map_err(|error| error.to_string())?;
    let named = named_paths(component, &line).into_iter();
    for (name, named) in named.filter(|(_, named)| !there.contains(&named.must_exist())) {
        file_is_there(component, &pod, (&name, &named), observation)?;
    }
    Ok(())
}

/// The file or folder that a flag of a pod names exists on the node and is mounted. A flag that names a place in the
/// container's own file system was there before, and is left alone.
fn file_is_there(
    component: Component,
    pod: &StaticPod,
    (name, named): (&FlagName, &NamedPath),
    observation: &Observation,
) -> Result<(), String> {
    let path = named.must_exist();
    let line = command_line(component, pod).map_err(|error| error.to_string())?;
    let container = pod
        .containers
        .get(line.container())
        .ok_or_else(|| "it has no container".to_owned())?;
    let before = observation.manifests.get(&component).and_then(Fact::known);
    let had_it = before.is_some_and(|manifest| {
        command_line(component, &manifest.pod)
            .is_ok_and(|line| named_paths(component, &line).contains(&(name.clone(), named.clone())))
    });
    let source = match mounted_from(pod, container, &path) {
        Mounted::From(source) => source,
        Mounted::NotMounted | Mounted::Unclear(_) if had_it => return Ok(()),
        Mounted::NotMounted => {
            return Err(format!(
                "{name} names {path}, which is not mounted into the pod of {component}"
            ));
        }
        Mounted::Unclear(why) => return Err(format!("{name} names a path that cannot be checked: {why}")),
    };
    match not_asked(observation.files.get(&source)) {
        Fact::Known(_) => Ok(()),
        Fact::Absent => Err(format!("{name} names {path}, and {source} is not there")),
        Fact::Unknown(why) => Err(format!("{name} names {path}, which cannot be looked at: {why}")),
    }
}
