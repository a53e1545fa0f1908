//! The checking of the tree: each key has one row in a table that says what its value sets.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::check_controls as controls;
use super::check_metrics::metrics;
use super::raw::Problem;
use super::syntax::quote;
use super::tree::{Content, Node};
use super::values::{boolean, duration, fill, list, scalar, text};
use super::{
    Action, ApiAccess, Conditional, Config, Cut, Disruption, Drain, Encryption, MAX_DEADLINE, MAX_DRAIN,
    ManifestsFolder, Profile, Window,
};
use crate::domain::{InvalidPath, NodePath, Paths};

/// The configuration of a tree.
pub(super) fn config(root: &Node) -> Result<Config, Problem> {
    let mut config = Config::default();
    fill(
        &mut config,
        root,
        &[
            ("mode", |config, node| {
                config.mode = global_mode(node)?;
                Ok(())
            }),
            ("profile", |config, node| {
                config.profile = profile(node)?;
                Ok(())
            }),
            ("conditional", |config, node| {
                config.conditional = conditional(node)?;
                Ok(())
            }),
            // Checked below, when the required flags are known: each of those is a control too.
            ("controls", |_, _| Ok(())),
            ("requiredFlags", |config, node| {
                config.required_flags = controls::required_flags(node)?;
                Ok(())
            }),
            ("manifests", |config, node| manifests(&mut config.manifests, node)),
            ("disruption", |config, node| {
                disruption(&mut config.disruption, node)
            }),
            ("encryption", |config, node| {
                encryption(&mut config.encryption, node)
            }),
            ("fullPass", |config, node| {
                config.full_pass = duration(node, Duration::from_secs(10), Duration::from_secs(3600))?;
                Ok(())
            }),
            ("metrics", |config, node| metrics(&mut config.metrics, node)),
            ("api", |config, node| api(&mut config.api, node)),
            ("paths", |config, node| paths(&mut config.paths, node)),
        ],
    )?;
    if let Some(node) = root.get("controls") {
        config.controls = controls::settings(node, &config.required_flags)?;
    }
    Ok(config)
}

fn global_mode(node: &Node) -> Result<Action, Problem> {
    match text(node)? {
        "audit" => Ok(Action::Audit),
        "enforce" => Ok(Action::Enforce),
        "off" => Err(Problem::at(node.at, "the mode of all controls cannot be off")
            .hint("write audit to report and touch nothing; single controls can be off".to_owned())),
        other => Err(Problem::unknown_word(
            node.at,
            "mode",
            other,
            &["audit", "enforce"],
        )),
    }
}

fn profile(node: &Node) -> Result<Profile, Problem> {
    let word = text(node)?;
    let found = Profile::ALL.into_iter().find(|profile| profile.name() == word);
    found.ok_or_else(|| Problem::unknown_word(node.at, "profile", word, &Profile::ALL.map(Profile::name)))
}

/// The mode of one control. An unquoted `off` is a text to this parser, and `false` to others: both are taken.
pub(super) fn control_mode(node: &Node) -> Result<Action, Problem> {
    if let Content::Boolean { value: false, .. } = node.content {
        return Ok(Action::Off);
    }
    match text(node)? {
        "off" => Ok(Action::Off),
        "audit" => Ok(Action::Audit),
        "enforce" => Ok(Action::Enforce),
        other => Err(Problem::unknown_word(
            node.at,
            "mode",
            other,
            &["off", "audit", "enforce"],
        )),
    }
}

/// Whether conditional remedies are used.
pub(super) fn conditional(node: &Node) -> Result<Conditional, Problem> {
    match text(node)? {
        "allow" => Ok(Conditional::Allow),
        "report" => Ok(Conditional::Report),
        other => Err(Problem::unknown_word(
            node.at,
            "word",
            other,
            &["allow", "report"],
        )),
    }
}

fn manifests(folder: &mut ManifestsFolder, node: &Node) -> Result<(), Problem> {
    fill(
        folder,
        node,
        &[
            ("known", |folder, node| {
                folder.known = list(node)?.iter().map(file_name).collect::<Result<_, _>>()?;
                Ok(())
            }),
            ("quarantine", |folder, node| {
                folder.quarantine = boolean(node)?;
                Ok(())
            }),
        ],
    )
}

fn file_name(node: &Node) -> Result<String, Problem> {
    let name = text(node)?;
    if name.contains('/') {
        return Err(Problem::at(node.at, format!("{} is no file name", quote(name)))
            .hint("write the name alone, as it lies in the manifests folder: kube-vip.yaml".to_owned()));
    }
    if name.is_empty() || name.starts_with('.') || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(
            Problem::at(node.at, format!("{} is no name of a manifest", quote(name)))
                .hint("the kubelet runs no file whose name begins with a dot".to_owned()),
        );
    }
    Ok(name.to_owned())
}

fn disruption(disruption: &mut Disruption, node: &Node) -> Result<(), Problem> {
    fill(
        disruption,
        node,
        &[
            ("window", |disruption, node| {
                disruption.window = window(node)?;
                Ok(())
            }),
            ("deadline", |disruption, node| {
                disruption.deadline = duration(node, Duration::from_secs(10), MAX_DEADLINE)?;
                Ok(())
            }),
            ("drain", |disruption, node| {
                disruption.drain = drain(node)?;
                Ok(())
            }),
        ],
    )
}

fn encryption(encryption: &mut Encryption, node: &Node) -> Result<(), Problem> {
    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    fill(
        encryption,
        node,
        &[
            ("rotateEvery", |encryption, node| {
                if node.content != Content::Nothing {
                    encryption.rotate_every = Some(duration(node, HOUR, YEAR)?);
                }
                Ok(())
            }),
            ("cut", |encryption, node| {
                encryption.cut = match text(node)? {
                    "auto" => Cut::Auto,
                    "ask" => Cut::Ask,
                    other => return Err(Problem::unknown_word(node.at, "cut", other, &["auto", "ask"])),
                };
                Ok(())
            }),
        ],
    )
}

fn api(api: &mut ApiAccess, node: &Node) -> Result<(), Problem> {
    fill(
        api,
        node,
        &[("kubeconfig", |api, node| {
            if node.content != Content::Nothing {
                api.kubeconfig = Some(path(node)?);
            }
            Ok(())
        })],
    )
}

fn paths(paths: &mut Paths, node: &Node) -> Result<(), Problem> {
    fill(
        paths,
        node,
        &[
            ("manifests", |paths, node| {
                paths.manifests = folder(node)?;
                Ok(())
            }),
            ("kubernetes", |paths, node| {
                paths.kubernetes = folder(node)?;
                Ok(())
            }),
            ("pki", |paths, node| {
                paths.pki = folder(node)?;
                Ok(())
            }),
            ("kubelet", |paths, node| {
                paths.kubelet = folder(node)?;
                Ok(())
            }),
            ("etcdData", |paths, node| {
                paths.etcd_data = folder(node)?;
                Ok(())
            }),
        ],
    )
}

/// A folder of the node's own: what lies in it may be given another mode or owner, and what lies beside it is Holdfast's for a moment.
fn folder(node: &Node) -> Result<Option<NodePath>, Problem> {
    if node.content == Content::Nothing {
        return Ok(None);
    }
    let path = path(node)?;
    if path.components().count() < 2 {
        return Err(Problem::at(
            node.at,
            format!("{} is a folder of the whole system", quote(path.as_str())),
        )
        .hint("name the folder that is Kubernetes' own, like /etc/kubernetes/manifests".to_owned()));
    }
    Ok(Some(path))
}

fn path(node: &Node) -> Result<NodePath, Problem> {
    let words = text(node)?;
    words.parse().map_err(|error: InvalidPath| {
        Problem::at(node.at, error.to_string())
            .hint("write the whole path on the node, like /etc/holdfast/api.conf".to_owned())
    })
}

fn drain(node: &Node) -> Result<Drain, Problem> {
    if scalar(node).is_ok_and(|word| word == "kubelet") {
        return Ok(Drain::Kubelet);
    }
    duration(node, Duration::from_secs(1), MAX_DRAIN)
        .map(Drain::After)
        .map_err(|problem| problem.hint("write a time like 1s, or kubelet for its 30 s".to_owned()))
}

/// A window in the making.
#[derive(Default)]
struct Draft {
    days: Option<Vec<Weekday>>,
    from: Option<Time>,
    to: Option<Time>,
    zone: Option<TimeZone>,
}

fn window(node: &Node) -> Result<Option<Window>, Problem> {
    if node.content == Content::Nothing {
        return Ok(None);
    }
    let mut draft = Draft::default();
    fill(
        &mut draft,
        node,
        &[
            ("days", |draft, node| {
                draft.days = Some(days(node)?);
                Ok(())
            }),
            ("from", |draft, node| {
                draft.from = Some(time_of_day(node)?);
                Ok(())
            }),
            ("to", |draft, node| {
                draft.to = Some(time_of_day(node)?);
                Ok(())
            }),
            ("timeZone", |draft, node| {
                draft.zone = Some(time_zone(node)?);
                Ok(())
            }),
        ],
    )?;
    let (Some(from), Some(to)) = (draft.from, draft.to) else {
        return Err(Problem::at(node.at, "the window needs \"from\" and \"to\"").hint(
            "write the hours like from: \"02:00\", to: \"05:00\"; the same time twice is the whole day"
                .to_owned(),
        ));
    };
    Ok(Some(Window {
        days: draft
            .days
            .unwrap_or_else(|| DAYS.iter().map(|(_, _, day)| *day).collect()),
        from,
        to,
        zone: draft.zone.unwrap_or(TimeZone::UTC),
    }))
}

const DAYS: [(&str, &str, Weekday); 7] = [
    ("mon", "monday", Weekday::Monday),
    ("tue", "tuesday", Weekday::Tuesday),
    ("wed", "wednesday", Weekday::Wednesday),
    ("thu", "thursday", Weekday::Thursday),
    ("fri", "friday", Weekday::Friday),
    ("sat", "saturday", Weekday::Saturday),
    ("sun", "sunday", Weekday::Sunday),
];

fn days(node: &Node) -> Result<Vec<Weekday>, Problem> {
    let items = list(node)?;
    if items.is_empty() {
        return Err(Problem::at(node.at, "a window without days never opens")
            .hint("name the days, or take \"days\" out for every day".to_owned()));
    }
    let mut days = Vec::new();
    for item in items {
        let word = text(item)?;
        let lower = word.to_lowercase();
        let known = DAYS
            .iter()
            .find(|(short, long, _)| lower == *short || lower == *long);
        let (_, _, day) = known
            .ok_or_else(|| Problem::unknown_word(item.at, "day", word, &DAYS.map(|(short, ..)| short)))?;
        if days.contains(day) {
            return Err(Problem::at(
                item.at,
                format!("the day {} stands twice", quote(word)),
            ));
        }
        days.push(*day);
    }
    Ok(days)
}

fn time_of_day(node: &Node) -> Result<Time, Problem> {
    let words = scalar(node)?;
    let invalid = || {
        Problem::at(node.at, format!("{} is no time of day", quote(words)))
            .hint("write hours and minutes in quotes, \"00:00\" to \"23:59\"".to_owned())
    };
    let (hour, minute) = words.split_once(':').ok_or_else(invalid)?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| part.parse::<i8>().ok())
            .flatten()
            .ok_or_else(invalid)
    };
    Time::new(two(hour)?, two(minute)?, 0, 0).map_err(|_| invalid())
}

fn time_zone(node: &Node) -> Result<TimeZone, Problem> {
    let name = text(node)?;
    // The zones that were built in: what the node's own folder of zones holds changes nothing here.
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let names: Vec<String> = database.available().map(|zone| zone.to_string()).collect();
        let meant = super::nearest::nearest(name, names.iter().map(String::as_str));
        let hint = meant.map_or_else(
            || "write a name like Europe/Berlin, or UTC".to_owned(),
            |meant| format!("did you mean \"{meant}\"?"),
        );
        Problem::at(node.at, format!("unknown time zone {}", quote(name))).hint(hint)
    })
}
