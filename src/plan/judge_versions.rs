//! Versions of the components, held against each other and the calendar.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::finding::{Evidence, Verdict};
use super::judge::{each_manifest, piece};
use super::judge_flags::version_of;
use crate::controls::KubernetesVersion;
use crate::domain::{Component, Fact, Observation};
use crate::manifest::command_line;

/// Until when minor versions are maintained (kubernetes.io, "Patch Releases": `data/releases/eol.yaml` of its repository for 1.31 and 1.32, the
/// page of each release for the others, as of September 2026); older ones are not any more.
const ENDS: [(u32, Date); 7] = [
    (31, jiff::civil::date(2025, 11, 11)),
    (32, jiff::civil::date(2026, 2, 28)),
    (33, jiff::civil::date(2026, 6, 28)),
    (34, jiff::civil::date(2026, 10, 27)),
    (35, jiff::civil::date(2027, 2, 28)),
    (36, jiff::civil::date(2027, 6, 28)),
    (37, jiff::civil::date(2027, 10, 28)),
];
const EXPECTED: &str = "a minor version that is maintained, and the API server's or the one before it";

/// What the images say.
pub(super) fn versions(observation: &Observation, now: jiff::Timestamp) -> Vec<Evidence> {
    let api_server = match observation.manifests.get(&Component::ApiServer) {
        Some(Fact::Known(manifest)) => command_line(Component::ApiServer, &manifest.pod)
            .ok()
            .and_then(|line| version_of(manifest, &line)),
        Some(Fact::Absent | Fact::Unknown(_)) | None => None,
    };
    each_manifest(observation, EXPECTED, |component, manifest, line| {
        // etcd counts its versions in its own way.
        if component == Component::Etcd {
            return Vec::new();
        }
        let told = |verdict, actual: String| vec![piece(component.to_string(), verdict, EXPECTED, actual)];
        let Some(version) = version_of(manifest, line) else {
            let actual = "the image does not tell which version it is";
            return told(Verdict::Unknown, actual.to_owned());
        };
        let apart = api_server.is_some_and(|of| version > of || of.minor.saturating_sub(version.minor) > 1);
        if let Some(of) = api_server.filter(|_| apart) {
            let actual = format!("1.{}, beside an API server of 1.{}", version.minor, of.minor);
            return told(Verdict::Drift, actual);
        }
        let (verdict, how) = maintained(version, now);
        told(verdict, format!("1.{}, {how}", version.minor))
    })
}

fn maintained(version: KubernetesVersion, now: jiff::Timestamp) -> (Verdict, String) {
    let of = |(minor, end): &(u32, Date)| (version.minor == *minor).then_some(*end);
    let Some(end) = ENDS.iter().find_map(of) else {
        return if ENDS.iter().any(|(minor, _)| version.minor < *minor) {
            (Verdict::Drift, "which is not maintained any more".to_owned())
        } else {
            (
                Verdict::Pass,
                "whose end this version of Holdfast does not know".to_owned(),
            )
        };
    };
    if now.to_zoned(TimeZone::UTC).date() > end {
        (Verdict::Drift, format!("which was maintained until {end}"))
    } else {
        (Verdict::Pass, format!("which is maintained until {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{fresh_node, manifest_text, replace_manifest};
    use super::*;
    use crate::plan::Finding;
    use crate::plan::judge_tests::finding_at;

    fn with(scheduler: &str, now: &str) -> Finding {
        let mut node = fresh_node();
        let text = manifest_text(Component::Scheduler);
        let text = text.replace("kube-scheduler:v1.35.4", &format!("kube-scheduler{scheduler}"));
        replace_manifest(&mut node, Component::Scheduler, &text);
        finding_at(&node, "X-VER-01", "{}", now)
    }

    #[test]
    fn a_version_is_maintained_to_its_last_day() {
        let drifts = |now: &str| {
            let finding = finding_at(&fresh_node(), "X-VER-01", "{}", now);
            finding.with_verdict(Verdict::Drift).count()
        };
        assert_eq!(drifts("2027-02-28T23:59:00Z"), 0);
        assert_eq!(drifts("2027-03-01T00:00:00Z"), 3, "etcd is left out");
    }

    #[test]
    fn components_lie_at_most_one_minor_version_behind_the_api_server() {
        let now = "2026-09-01T00:00:00Z";
        for (image, verdict) in [
            (":v1.35.0", Verdict::Pass),
            (":v1.34.9", Verdict::Pass),
            (":v1.33.9", Verdict::Drift),
            (":v1.36.0", Verdict::Drift),
            (":latest", Verdict::Unknown),
            ("@sha256:aa", Verdict::Unknown),
        ] {
            assert_eq!(with(image, now).verdict, verdict, "{image}");
        }
    }

    #[test]
    fn versions_before_and_after_the_table_are_told_as_they_are() {
        let now = "2025-01-01T00:00:00Z".parse().unwrap();
        let of = |minor| maintained(KubernetesVersion { minor }, now).0;
        assert_eq!(
            (of(20), of(31), of(38)),
            (Verdict::Drift, Verdict::Pass, Verdict::Pass)
        );
        let later = "2027-06-29T00:00:00Z".parse().unwrap();
        let of = |minor| maintained(KubernetesVersion { minor }, later).0;
        assert_eq!((of(36), of(37)), (Verdict::Drift, Verdict::Pass));
    }
}
