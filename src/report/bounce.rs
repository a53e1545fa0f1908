//! A bounce in words: what it does and costs before it is made, and the outage after it.

use std::time::Duration;

use serde_json::{Value, json};

use super::json::{SCHEMA_VERSION, outcome, text};
use super::paint::{self, Colour, printable};
use crate::apply::Outcome;
use crate::domain::Component;
use crate::plan::{BouncePlan, WithheldReason};

/// What the bounce would do, and what it costs.
#[must_use]
pub fn bounce_text(plan: &BouncePlan, colour: Colour) -> String {
    let bounce = &plan.bounce;
    let (component, path) = (bounce.component, &bounce.path);
    let head = colour.paint(paint::STRONG, &format!("Bounce of {component}"));
    let patience = plan.out_at_most.as_secs();
    let how = match &bounce.early {
        Ok(drain) => format!(
            "Its process is ended {} after it has stopped listening: by then it serves nobody any more.",
            seconds(*drain)
        ),
        Err(why) => format!(
            "The kubelet ends its process, which may take its 30 s. It is not ended early: {}.",
            printable(why)
        ),
    };
    format!(
        "{head}\n  {path} goes out of its folder and comes back: the same file, with the same content, mode and owner.\n  \
         {how}\n  The manifest comes back after {patience} s at the latest, whatever happens, and a copy of it is kept.\n  \
         Cost: {}\n",
        cost(component, bounce.early.is_ok())
    )
}

/// What is missing while the component is away, and for how long.
fn cost(component: Component, early: bool) -> &'static str {
    match component {
        Component::Scheduler => "for some seconds no new pod is given a node.",
        Component::ControllerManager => "for some seconds no controller works.",
        Component::ApiServer if early => "about 5 to 8 s without an API.",
        Component::ApiServer => {
            "about 40 s without an API, in which controller manager and scheduler may lose their leases and be started again."
        }
        Component::Etcd => {
            "the API is away meanwhile, too, as it cannot work without etcd: 5 to 40 s. Controller manager and scheduler may lose \
             their leases and be started again."
        }
    }
}

/// Why there is no bounce.
#[must_use]
pub fn bounce_refused_text(component: Component, why: &WithheldReason, colour: Colour) -> String {
    format!(
        "{} is not bounced: {}\nNothing was changed.\n",
        colour.paint(paint::STRONG, component.name()),
        printable(&why.to_string())
    )
}

/// The outage of a bounce, from when nothing listened until it was healthy.
#[must_use]
pub fn outage_text(component: Component, outage: Option<Duration>) -> String {
    match outage {
        Some(outage) => format!(
            "{component} was away for {}, from when nothing listened until it was healthy.\n",
            seconds(outage)
        ),
        None => format!("How long {component} was away was not seen.\n"),
    }
}

/// What a bounce came to.
#[derive(Debug, Clone, Copy)]
pub struct BounceReport<'a> {
    /// Whose manifest.
    pub component: Component,
    /// The bounce, or why there is none; `None` when one that was begun earlier was carried on.
    pub plan: Option<Result<&'a BouncePlan, &'a WithheldReason>>,
    /// What came of it, in order.
    pub outcomes: &'a [Outcome],
    /// From when nothing listened until it was healthy.
    pub outage: Option<Duration>,
}

/// A bounce as JSON: what it would do, why it is refused, what came of it, and its outage in milliseconds.
#[must_use]
pub fn bounce_json(report: &BounceReport<'_>) -> String {
    let plan = report.plan.and_then(Result::ok).map(|plan| {
        json!({
            "path": plan.bounce.path,
            "drainMs": plan.bounce.early.as_ref().ok().map(Duration::as_millis),
            "notEndedEarly": plan.bounce.early.as_ref().err(),
            "outAtMostMs": plan.out_at_most.as_millis(),
        })
    });
    let refused = report
        .plan
        .and_then(Result::err)
        .map(|why| json!({ "kind": why.kind(), "message": why.to_string() }));
    let outcomes: Vec<Value> = report.outcomes.iter().map(outcome).collect();
    text(&json!({
        "schemaVersion": SCHEMA_VERSION,
        "report": "bounce",
        "component": report.component,
        "bounce": plan,
        "refused": refused,
        "outcomes": outcomes,
        "outageMs": report.outage.map(|outage| outage.as_millis()),
    }))
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        return format!("{} s", time.as_secs());
    }
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;
    use crate::plan::{Change, Deed, ManifestBounce};
    use crate::report::samples;

    fn plan(component: Component, early: Result<Duration, String>) -> BouncePlan {
        let bounce = ManifestBounce {
            component,
            path: samples::path("/m"),
            text: String::new(),
            processes: vec![],
            pods: vec![],
            early,
        };
        BouncePlan {
            change: Change {
                id: Digest::of(b"change"),
                controls: vec![],
                deed: Deed::Bounce(bounce.clone()),
            },
            bounce,
            out_at_most: Duration::from_secs(40),
        }
    }

    #[test]
    fn the_words_say_what_it_does_what_it_costs_and_why_not_early() {
        let early = bounce_text(
            &plan(Component::ApiServer, Ok(Duration::from_secs(1))),
            Colour::Never,
        );
        assert_eq!(
            early,
            "Bounce of kube-apiserver\n  /m goes out of its folder and comes back: the same file, with the same content, mode and \
             owner.\n  Its process is ended 1 s after it has stopped listening: by then it serves nobody any more.\n  The manifest \
             comes back after 40 s at the latest, whatever happens, and a copy of it is kept.\n  Cost: about 5 to 8 s without an API.\n"
        );
        let etcd = bounce_text(
            &plan(Component::Etcd, Err("never etcd".to_owned())),
            Colour::Never,
        );
        assert!(etcd.contains("It is not ended early: never etcd."), "{etcd}");
        assert!(etcd.contains("the API is away meanwhile, too"), "{etcd}");
    }

    #[test]
    fn the_json_tells_the_plan_or_the_refusal_and_the_outage() {
        let plan = plan(Component::Etcd, Err("never etcd".to_owned()));
        let report = |plan, outage| BounceReport {
            component: Component::Etcd,
            plan: Some(plan),
            outcomes: &[],
            outage,
        };
        let value = |report| serde_json::from_str::<Value>(&bounce_json(&report)).unwrap();
        assert_eq!(
            value(report(Ok(&plan), Some(Duration::from_millis(5300)))),
            json!({
                "schemaVersion": 1, "report": "bounce", "component": "etcd",
                "bounce": { "path": "/m", "drainMs": null, "notEndedEarly": "never etcd", "outAtMostMs": 40_000 },
                "refused": null, "outcomes": [], "outageMs": 5300
            })
        );
        let why = WithheldReason::Paused("until then".to_owned());
        let refused = value(report(Err(&why), None));
        assert_eq!(
            (
                &refused["bounce"],
                &refused["refused"]["kind"],
                &refused["outageMs"]
            ),
            (&Value::Null, &json!("paused"), &Value::Null)
        );
    }

    #[test]
    fn the_outage_is_told_in_seconds_or_as_not_seen() {
        let told = |outage| outage_text(Component::Etcd, outage);
        assert_eq!(
            told(Some(Duration::from_millis(5340))),
            "etcd was away for 5.3 s, from when nothing listened until it was healthy.\n"
        );
        assert_eq!(told(None), "How long etcd was away was not seen.\n");
    }
}
