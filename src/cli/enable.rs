//! `encryption enable`: gives the API server a configuration that writes plaintext as before, restarts it once, and walks from there
//! to a key.

use super::args::{Arguments, Enable};
use super::follow::Following;
use super::kubelet_start::past_kubelet_start;
use super::rotate::{Begin, bounded, goes_on, is_of_provider, opened, provider, under_way};
use super::setup::{CliError, Setup};
use super::walk::with_journal;
use super::{apply, complain, say};
use crate::adapters::Node;
use crate::at_rest::Configured;
use crate::domain::{Component, Fact, KeyId, Provider};
use crate::encryption::{EncryptionConfig, ResourcePattern, SharedChain};
use crate::journal::JournalState;
use crate::manifest::unified_diff;
use crate::observe::at_rest;
use crate::plan::{Change, Deed, ManifestEdit, WithheldReason};
use crate::reconcile;
use crate::report::{self, ExitClass, printable};
use crate::rotate::{
    Prepared, RotateError, To, Upgrade, bring_in_line, lost, plaintext_among_encrypted, prepare,
    put_in_place, upgrade,
};
use crate::rotation::{Consent, Rotation};

/// Enables encryption at rest, or goes on.
pub(super) fn enable(arguments: &Arguments, how: &Enable) -> Result<ExitClass, CliError> {
    let setup = opened(arguments, how.consented.dry_run)?;
    let node = &setup.node;
    match (configured(node)?, under_way(node)?) {
        (Some(configured), Some(rotation)) => {
            is_of_provider(&rotation, how.provider)?;
            covers(how, &configured.config, &rotation)?;
            say(&goes_on(&rotation))?;
            begin(how, how.consented.yes).or_go_on(arguments, &setup, how.consented.any_time, Some(rotation))
        }
        (Some(configured), None) => already(arguments, how, &setup, &configured),
        (None, Some(rotation)) => {
            is_of_provider(&rotation, how.provider)?;
            let known = super::peek(node)?.encryption;
            let reload = known.is_none_or(|known| known.reload);
            let prepared = lost(node, &rotation, reload).map_err(Box::new)?;
            from_nothing(arguments, how, &setup, &prepared, Some(rotation))
        }
        (None, None) => {
            let prepared = prepare(node, &wanted(how)?).map_err(Box::new)?;
            from_nothing(arguments, how, &setup, &prepared, None)
        }
    }
}

const fn begin(how: &Enable, yes: bool) -> Begin {
    Begin {
        command: "enable",
        to: To::NewKey(provider(how.provider)),
        cut: Consent::Auto,
        dry_run: how.consented.dry_run,
        yes,
        allow_cut: false,
    }
}

fn configured(node: &Node) -> Result<Option<Configured>, CliError> {
    let manifest = at_rest::manifest(node);
    match manifest.and_then(|manifest| match at_rest::configured(node, &manifest) {
        // A manifest that is not there is not one without the flag.
        Fact::Absent => Fact::Known(None),
        Fact::Known(configured) => Fact::Known(Some(configured)),
        Fact::Unknown(why) => Fact::Unknown(why),
    }) {
        Fact::Known(configured) => Ok(configured),
        Fact::Absent => Err(not_here("kube-apiserver has no manifest here")),
        Fact::Unknown(why) => Err(Box::new(RotateError::Unknown(why)).into()),
    }
}

fn not_here(why: impl Into<String>) -> CliError {
    Box::new(RotateError::NotHere(why.into())).into()
}

/// The API server has a configuration: either it only writes plaintext, and the walk begins, or nothing remains but what kubeadm knows.
fn already(
    arguments: &Arguments,
    how: &Enable,
    setup: &Setup,
    configured: &Configured,
) -> Result<ExitClass, CliError> {
    let writes = match configured.config.shared_chain() {
        SharedChain::Shared(chain) => chain.into_iter().next(),
        SharedChain::Differing | SharedChain::NoEntry => {
            say(&printable(&format!(
                "{} is in use, and its entries have different keys or are under a key management service: Holdfast does not touch it. \
                 `holdfast encryption status` shows what writes what.",
                configured.file
            )))?;
            say("\n")?;
            return Ok(ExitClass::Drift);
        }
    };
    let remaining = remains(&setup.node, writes.as_ref())?;
    // The walk that remains leads to the provider that is asked for.
    let asked = how.provider.filter(|_| remaining.is_none());
    let asked = asked.map(|asked| provider(Some(asked)));
    let short = falls_short(&configured.config, &wanted(how)?, asked, writes.as_ref());
    if !short.is_empty() {
        say(&printable(&format!(
            "{} is in use, and not as it is asked for:",
            configured.file
        )))?;
        say(&format!("\n{}", short.concat()))?;
        return Ok(ExitClass::Drift);
    }
    let manifest = at_rest::manifest(&setup.node);
    let upgrade = match manifest.known().filter(|_| !how.keep_kubeadm_config) {
        Some(manifest) => upgrade(&setup.node, &manifest.pod).map_err(Box::new)?,
        None => None,
    };
    if let Some(why) = remaining {
        begin(how, how.consented.yes).is_allowed(setup)?;
        say(&format!(
            "{} is in use and {why}. What remains:\n{}{}{}",
            configured.file,
            of_kubeadm(upgrade.as_ref()),
            the_walk(how),
            bounded(&setup.node)
        ))?;
        if how.consented.dry_run {
            return Ok(ExitClass::Compliant);
        }
        if !how.consented.yes && !apply::ask(setup, "enable", "Begin?")? {
            complain("Nothing was changed.");
            return Ok(ExitClass::Failed);
        }
        tell_kubeadm(&setup.node, upgrade.as_ref())?;
        return begin(how, true).or_go_on(arguments, setup, how.consented.any_time, None);
    }
    is_on(how, setup, configured, writes.as_ref(), upgrade.as_ref())
}

/// Nothing remains but what kubeadm is to be told.
fn is_on(
    how: &Enable,
    setup: &Setup,
    configured: &Configured,
    writes: Option<&KeyId>,
    upgrade: Option<&Upgrade>,
) -> Result<ExitClass, CliError> {
    let who = writes.map_or_else(String::new, ToString::to_string);
    say(&printable(&format!(
        "Encryption at rest is on: {} is in use, and {who} writes. `holdfast encryption verify` proves what is stored, and \
         `holdfast encryption rotate` changes the key.",
        configured.file
    )))?;
    say(&format!("\n{}", of_kubeadm(upgrade)))?;
    if upgrade.is_none() || how.consented.dry_run {
        return Ok(ExitClass::Compliant);
    }
    if !how.consented.yes && !apply::ask(setup, "enable", "Write kube-system/kubeadm-config?")? {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    tell_kubeadm(&setup.node, upgrade)?;
    Ok(ExitClass::Compliant)
}

/// What is asked for and is not so, each with what the operator can do: Holdfast does not widen what somebody has configured.
fn falls_short(
    config: &EncryptionConfig,
    wanted: &[ResourcePattern],
    asked: Option<Provider>,
    writes: Option<&KeyId>,
) -> Vec<String> {
    let mut short = Vec::new();
    let not_covered = names(&config.not_covered(wanted));
    if !not_covered.is_empty() {
        let then = match writes {
            Some(KeyId::Key { .. }) => {
                "with `identity: {}` as the last provider of its entry, so that what is in plaintext stays readable; when kube-apiserver has \
                 loaded that, `holdfast encryption rotate` encrypts what is there"
            }
            Some(KeyId::Identity) | None => "and when kube-apiserver has loaded that, give the same command",
        };
        short.push(format!(
            "  not covered: {not_covered}. To do: add it to `resources` there, {then}\n"
        ));
    }
    if let (Some(asked), Some(KeyId::Key { provider, name })) = (asked, writes)
        && asked != *provider
    {
        short.push(format!(
            "  {} writes, and no key of {asked}. To do: `holdfast encryption rotate --provider {asked}`\n",
            printable(&format!("{provider}:{name}"))
        ));
    }
    short
}

/// A rotation that goes on changes nothing of what is covered.
fn covers(how: &Enable, config: &EncryptionConfig, rotation: &Rotation) -> Result<(), CliError> {
    let not_covered = names(&config.not_covered(&patterns(&how.resources)?));
    if not_covered.is_empty() {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "--resources {not_covered}: rotation {} is under way, whose configuration does not cover it; let it finish first (the same command \
         without --resources)",
        rotation.id
    )))
}

fn names(patterns: &[&ResourcePattern]) -> String {
    let names: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// What is to be encrypted.
fn wanted(how: &Enable) -> Result<Vec<ResourcePattern>, CliError> {
    if how.resources.is_empty() {
        return patterns(&["secrets".to_owned()]);
    }
    patterns(&how.resources)
}

/// Why a walk to a key remains. Whoever gave the API server its configuration back may have been ended before what was written meanwhile is
/// rewritten.
fn remains(node: &Node, writes: Option<&KeyId>) -> Result<Option<String>, CliError> {
    match writes {
        Some(KeyId::Identity) => Ok(Some("writes plaintext".to_owned())),
        Some(KeyId::Key { .. }) if super::peek(node)?.plaintext_owed => {
            let values = plaintext_among_encrypted(node, &|| {}).map_err(Box::new)?;
            let told =
                format!("{values} value(s) were written in plaintext while kube-apiserver had lost it");
            Ok((values > 0).then_some(told))
        }
        Some(KeyId::Key { .. }) | None => Ok(None),
    }
}

/// What kubeadm is to be told, for the plan.
fn of_kubeadm(upgrade: Option<&Upgrade>) -> String {
    upgrade.map_or_else(String::new, |upgrade| {
        format!(
            "kube-system/kubeadm-config gets the same flags and volume, since the next `kubeadm upgrade` would drop them otherwise.\n\
             A control-plane node that joins later gets them, too: give it {KEY_FILES} first.\n\n{}\n",
            printable(&upgrade.difference())
        )
    })
}

/// What another control-plane node needs before it joins.
const KEY_FILES: &str = "the same folder of the encryption configuration";

fn tell_kubeadm(node: &Node, told: Option<&Upgrade>) -> Result<(), CliError> {
    let Some(told) = told else { return Ok(()) };
    bring_in_line(node, told).map_err(Box::new)?;
    say("kube-system/kubeadm-config is written\n")
}

/// The whole way, or the part of it that a manifest which lost the flag needs.
fn from_nothing(
    arguments: &Arguments,
    how: &Enable,
    setup: &Setup,
    prepared: &Prepared,
    under_way: Option<Rotation>,
) -> Result<ExitClass, CliError> {
    let node = &setup.node;
    let journal = super::peek(node)?;
    let any_time = how.consented.any_time;
    let looked = past_kubelet_start(
        || look(setup, &journal, prepared, any_time, prepared.is_written()),
        |edit| edit.as_ref().err(),
    );
    let edit = match looked {
        Ok(edit) => edit,
        Err(why) => {
            say(&printable(&format!("Encryption at rest is not enabled: {why}")))?;
            say("\nNothing was changed.\n")?;
            return Ok(ExitClass::Failed);
        }
    };
    let upgrade = if how.keep_kubeadm_config {
        None
    } else {
        of_upgrade(upgrade_after(node, &edit.1), prepared)?
    };
    say(&(plan(how, prepared, &edit.1, upgrade.as_ref()) + &bounded(node)))?;
    if how.consented.dry_run {
        return Ok(ExitClass::Compliant);
    }
    if !how.consented.yes && !apply::ask(setup, "enable", "Begin?")? {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    setup.interrupts.listen()?;
    with_journal(node, |held, journal| {
        Ok(put_in_place(node, held, journal, prepared).map_err(Box::new)?)
    })?;
    say(&format!("{} is written\n", prepared.wanted.file))?;
    if let Some(class) = restart(arguments, setup, how, prepared)? {
        return Ok(class);
    }
    // Before the first value is encrypted: looked at anew, since that was before a restart.
    if upgrade.is_some() {
        tell_kubeadm(node, upgrade_after(node, &edit.1)?.as_ref())?;
    }
    begin(how, true).or_go_on(arguments, setup, how.consented.any_time, under_way)
}

/// What kubeadm does not know must not keep values from being readable again; before anything is encrypted it is seen to first.
fn of_upgrade(
    told: Result<Option<Upgrade>, CliError>,
    prepared: &Prepared,
) -> Result<Option<Upgrade>, CliError> {
    match told {
        Err(why) if prepared.is_mending() => {
            complain(&format!("kube-system/kubeadm-config is left as it is: {why}"));
            Ok(None)
        }
        Err(why) => Err(not_here(format!(
            "{why}; --keep-kubeadm-config leaves it as it is"
        ))),
        told => told,
    }
}

/// What kubeadm is to be told once the manifest is edited.
fn upgrade_after(node: &Node, edit: &ManifestEdit) -> Result<Option<Upgrade>, CliError> {
    let pod = crate::manifest::parse(edit.after.as_bytes());
    let pod = pod.map_err(|error| not_here(format!("{}: {error}", edit.path)))?;
    Ok(upgrade(node, &pod).map_err(Box::new)?)
}

fn look(
    setup: &Setup,
    journal: &JournalState,
    prepared: &Prepared,
    any_time: bool,
    written: bool,
) -> Result<(Change, ManifestEdit), WithheldReason> {
    let (node, config) = (&setup.node, &setup.settings.config);
    let change = reconcile::look_for_enable(node, config, journal, &prepared.wanted, any_time, written)?;
    let Deed::EditManifest(edit) = &change.deed else {
        return Err(WithheldReason::NotEditable("no edit was planned".to_owned()));
    };
    let edit = edit.clone();
    Ok((change, edit))
}

/// Edits the manifest and proves the API server; `Some` when that did not succeed.
fn restart(
    arguments: &Arguments,
    setup: &Setup,
    how: &Enable,
    prepared: &Prepared,
) -> Result<Option<ExitClass>, CliError> {
    let mut following = Following::open(arguments, setup, Component::ApiServer)?;
    match look(
        setup,
        following.journal_state(),
        prepared,
        how.consented.any_time,
        true,
    ) {
        Ok((change, _)) => following.begin(&change)?,
        Err(why) => return Err(not_here(format!("kube-apiserver is not restarted: {why}"))),
    }
    let followed = following.follow()?;
    if followed.is_made() {
        say(&report::outage_text(
            Component::ApiServer,
            followed.outage.length(),
        ))?;
        return Ok(None);
    }
    say(&format!(
        "Encryption at rest is not enabled. {} stays; the same command tries again.\n",
        prepared.wanted.file
    ))?;
    Ok(Some(ExitClass::Failed))
}

fn patterns(texts: &[String]) -> Result<Vec<ResourcePattern>, CliError> {
    let parsed = texts.iter().map(|text| {
        ResourcePattern::parse(text).map_err(|why| CliError::Usage(format!("--resources {text}: {why}")))
    });
    parsed.collect()
}

fn plan(how: &Enable, prepared: &Prepared, edit: &ManifestEdit, upgrade: Option<&Upgrade>) -> String {
    let Prepared {
        wanted,
        plaintext,
        encrypted,
        resources,
        lost_by,
        ..
    } = prepared;
    let stored = if let Some(rotation) = lost_by {
        format!(
            "kube-apiserver has lost its --encryption-provider-config while rotation {rotation} is under way."
        )
    } else if *encrypted == 0 {
        format!(
            "{plaintext} value(s) of {} are stored in plaintext, and none is encrypted.",
            resources.join(", ")
        )
    } else {
        format!(
            "{encrypted} value(s) are encrypted under keys of {}, which kube-apiserver is no longer told, and {plaintext} are in \
             plaintext.",
            wanted.file
        )
    };
    let back = if wanted.plaintext {
        "goes back"
    } else {
        "goes back only if it was never started, since values may have been written that it cannot read"
    };
    let first = match (prepared.is_written(), wanted.plaintext) {
        (true, _) => "is there already",
        (false, true) => "is written; at first it says `identity`, which stores plaintext as before",
        (false, false) => "is written anew, and reads plaintext, too",
    };
    format!(
        "{stored}\n\
         \x20 a  {} {first}\n\
         \x20 b  kube-apiserver is given it, and restarted once; the API is away for about 5 s. If it does not become healthy, its\n\
         \x20    former manifest {back}:\n\n{}\n{}{}",
        wanted.file,
        unified_diff(edit.path.as_str(), &edit.before, &edit.after),
        of_kubeadm(upgrade),
        the_walk(how)
    )
}

fn the_walk(how: &Enable) -> String {
    format!(
        "Then, without another restart:\n\
         \x20 1  every stored value is counted, so that nothing is broken before the start\n\
         \x20 2  an {} key of 32 random bytes is made and stored in /var/lib/holdfast/keys\n\
         \x20 3  it is added second, and loaded\n\
         \x20 4  it becomes the first, and is loaded; requests of before end within a minute\n\
         \x20 5  what is in plaintext is rewritten, by name, without any Secret data in request or answer\n\
         \x20 6  it is proven from etcd that nothing is left in plaintext, and that etcd's history has none\n\
         \x20 7  plaintext is removed from what may be read, and that is loaded\n\
         Each load waits for the API server, which looks once a minute, and step 6 for its compaction, every 5 minutes. It may be\n\
         interrupted at any time, and goes on with the same command; `holdfast encryption abort` turns it back before step 7.\n\
         Back up /var/lib/holdfast/keys: whoever loses the key loses every value under it.\n",
        provider(how.provider)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::parse;

    const KEY: &str = "aescbc: {keys: [{name: key1, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}";

    fn short(resources: &str, provider: &str, wanted: &[&str], asked: Option<Provider>) -> Vec<String> {
        let config = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [{resources}]\n  providers:\n  \
             - {provider}\n"
        );
        let config = parse(config.as_bytes()).unwrap();
        let SharedChain::Shared(chain) = config.shared_chain() else {
            panic!("one entry")
        };
        let wanted: Vec<ResourcePattern> = wanted
            .iter()
            .map(|text| ResourcePattern::parse(text).unwrap())
            .collect();
        falls_short(&config, &wanted, asked, chain.first())
    }

    #[test]
    fn what_is_asked_for_and_is_not_so_is_named_with_what_to_do() {
        let aescbc = Some(Provider::Aescbc);
        assert_eq!(short("secrets", KEY, &["secrets"], None), [""; 0]);
        assert_eq!(short("'*.*'", KEY, &["secrets", "configmaps"], aescbc), [""; 0]);
        let told = short("secrets", KEY, &["secrets", "configmaps", "pods"], aescbc);
        assert!(
            matches!(told.as_slice(), [one] if one.contains("not covered: configmaps, pods. To do") && one.contains("encryption rotate`")),
            "{told:?}"
        );
        let told = short("secrets", KEY, &["secrets"], Some(Provider::Secretbox));
        assert!(
            matches!(told.as_slice(), [one] if one.contains("aescbc:key1 writes") && one.contains("rotate --provider secretbox")),
            "{told:?}"
        );
        let told = short("secrets", "identity: {}", &["configmaps"], None);
        assert!(
            matches!(told.as_slice(), [one] if one.contains("the same command")),
            "{told:?}"
        );
    }
}
