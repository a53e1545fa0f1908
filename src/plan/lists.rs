//! What several controls want of one flag that is a list becomes one value. Pure.

use std::collections::BTreeMap;

use super::build::Circumstances;
use super::change::{Withheld, WithheldReason};
use super::edits::{Wanted, fault_of, image_of, told, withheld};
use super::finding::ListMend;
use super::kits;
use super::select::required_flag_id;
use crate::controls::Kit;
use crate::domain::{Component, ControlId, Fact, FlagName, Observation};

/// What one control wants of a list.
#[derive(Debug, Clone)]
pub(super) struct ListWanted {
    pub(super) control: ControlId,
    pub(super) items: ListMend,
    /// The conditional remedy that it belongs to.
    pub(super) kit: Option<Kit>,
    /// A flag that comes with it.
    pub(super) with: Option<(FlagName, String)>,
}

/// What the controls want of lists, by flag.
pub(super) type Lists = BTreeMap<(Component, FlagName), Vec<ListWanted>>;

/// Adds one value for each list to the flags that are wanted; what is not added, and why. What the operator requires goes first. What belongs
/// to a conditional remedy that is not ready, or that the node refused, must not be in a value which others want too.
pub(super) fn agree(
    lists: Lists,
    flags: &mut BTreeMap<Component, Vec<Wanted>>,
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Vec<Withheld> {
    let mut left_out = Vec::new();
    for ((component, name), all) in lists {
        let wanted = flags.entry(component).or_default();
        let list = List {
            component,
            name: &name,
            observation,
            circumstances,
        };
        let (conditional, mut kept): (Vec<ListWanted>, Vec<ListWanted>) =
            all.into_iter().partition(|one| one.kit.is_some());
        let admitted = list.admitted(conditional, &kept, wanted, &mut left_out);
        kept.extend(admitted);
        let Some(items) = merged(&kept) else { continue };
        let required = wanted.iter().find(|wanted| wanted.name == name);
        let value = required.map_or_else(|| items.value(), |required| required.value.clone());
        if value.is_empty() && !items.may_be_empty {
            let why = format!("something else in {name}: with nothing in it {component} does not start");
            left_out.push(Withheld {
                controls: kept.into_iter().map(|one| one.control).collect(),
                object: format!("{component} {name}"),
                reason: WithheldReason::NeedsOperator(why),
            });
            continue;
        }
        for one in kept {
            wanted.extend(one.flags(&name, &value));
        }
    }
    for (component, wanted) in flags {
        let is_required = |wanted: &&Wanted| wanted.control == required_flag_id(*component, &wanted.name);
        let required: Vec<Wanted> = wanted.iter().filter(is_required).cloned().collect();
        for wanted in wanted.iter_mut() {
            if let Some(required) = required.iter().find(|required| required.name == wanted.name) {
                wanted.value.clone_from(&required.value);
            }
        }
    }
    left_out
}

impl ListWanted {
    /// The list with that value, and what comes with it.
    fn flags(&self, name: &FlagName, value: &str) -> Vec<Wanted> {
        let list = std::iter::once((name.clone(), value.to_owned()));
        list.chain(self.with.clone())
            .map(|(name, value)| Wanted {
                control: self.control.clone(),
                name,
                value,
                kit: self.kit,
            })
            .collect()
    }
}

fn merged(all: &[ListWanted]) -> Option<ListMend> {
    let (first, others) = all.split_first()?;
    Some(
        others
            .iter()
            .fold(first.items.clone(), |merged, one| merged.and(&one.items)),
    )
}

struct List<'a> {
    component: Component,
    name: &'a FlagName,
    observation: &'a Observation,
    circumstances: &'a Circumstances<'a>,
}

impl List<'_> {
    /// Those whose remedy is ready and was not refused by the node. `others` want something of the list, too, and `beside` are flags.
    fn admitted(
        &self,
        conditional: Vec<ListWanted>,
        others: &[ListWanted],
        beside: &[Wanted],
        left_out: &mut Vec<Withheld>,
    ) -> Vec<ListWanted> {
        let alone: Vec<Wanted> = conditional
            .iter()
            .flat_map(|one| one.flags(self.name, &one.items.value()))
            .collect();
        let all: Vec<&Wanted> = beside.iter().chain(&alone).collect();
        let ready = kits::ready(self.component, &all, self.observation, self.circumstances);
        let mut admitted = Vec::new();
        for one in conditional {
            let reason = match one.kit.and_then(|kit| ready.get(&kit)) {
                Some(Err(reason)) => Some(reason.clone()),
                Some(Ok(_)) | None => one
                    .with
                    .as_ref()
                    .and_then(|(name, value)| self.refused(name, value)),
            };
            match reason {
                Some(reason) => self.leave_out(&one, reason, left_out),
                None => admitted.push(one),
            }
        }
        // What is refused of the whole is refused for what was added to it.
        let whole: Vec<ListWanted> = others.iter().chain(&admitted).cloned().collect();
        let whole = merged(&whole).map(|items| items.value());
        if let Some(reason) = whole.and_then(|value| self.refused(self.name, &value)) {
            for one in admitted.drain(..) {
                self.leave_out(&one, reason.clone(), left_out);
            }
        }
        admitted
    }

    fn leave_out(&self, one: &ListWanted, reason: WithheldReason, left_out: &mut Vec<Withheld>) {
        let value = one.items.value();
        let flags = one.flags(self.name, &value);
        left_out.push(withheld(self.component, flags.iter().take(1), reason));
    }

    fn refused(&self, name: &FlagName, value: &str) -> Option<WithheldReason> {
        let manifest = self
            .observation
            .manifests
            .get(&self.component)
            .and_then(Fact::known)?;
        let image = image_of(self.component, manifest)?;
        let fault = fault_of(self.component, (name, value), &image, self.circumstances)?;
        Some(WithheldReason::Refused(told(fault)))
    }
}
