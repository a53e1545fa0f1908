//! The controls as a benchmark asks for them.

use super::select::Selected;
use crate::controls::{Benchmark, Remedy, catalogue};

/// The benchmark asks for another value than the configuration.
const GOES_BY_THE_CONFIGURATION: &str =
    "this value under controls in the configuration, by which `holdfast apply` goes: not by a benchmark";

/// The controls of a benchmark among those that the configuration selects, in its order, with its values: the operator's stand for what
/// they want, not for what the benchmark asks.
#[must_use]
pub fn select_for(benchmark: Benchmark, selected: &[Selected]) -> Vec<Selected> {
    let mut asked: Vec<Selected> = catalogue()
        .into_iter()
        .filter_map(|control| {
            let own = selected.iter().find(|own| own.control.id == control.id)?;
            let mut control = benchmark.asks(control)?;
            if control.requirement != own.control.requirement {
                control.remedy = Remedy::ReportOnly(GOES_BY_THE_CONFIGURATION);
            }
            Some(Selected {
                control,
                action: own.action,
            })
        })
        .collect();
    asked.sort_by_key(|selected| benchmark.place(&selected.control.id));
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::controls::Requirement;
    use crate::domain::Mode;
    use crate::plan::select;

    fn asked(benchmark: Benchmark, config: &str) -> Vec<Selected> {
        select_for(benchmark, &select(&parse(config).unwrap()).unwrap())
    }

    fn one(controls: &[Selected], id: &str) -> Selected {
        let found = controls
            .iter()
            .find(|selected| selected.control.id.as_str() == id);
        found.unwrap().clone()
    }

    fn ceiling(selected: &Selected) -> Mode {
        let Requirement::Mode { ceiling, .. } = selected.control.requirement else {
            panic!("{} is about a mode", selected.control.id);
        };
        ceiling
    }

    #[test]
    fn only_controls_of_the_benchmark_are_there_and_in_its_order() {
        let ids = |benchmark| -> Vec<String> {
            let controls = asked(benchmark, "{}");
            controls
                .iter()
                .map(|selected| selected.control.id.to_string())
                .collect()
        };
        let cis = ids(Benchmark::Cis8);
        assert!(cis.iter().all(|id| id.starts_with("CIS-")) && !cis.contains(&"CIS-1.2.30".to_owned()));
        assert_eq!(cis.first().map(String::as_str), Some("CIS-1.1.1"));
        let stig = ids(Benchmark::Stig);
        assert_eq!(stig.first().map(String::as_str), Some("X-API-04"), "V-242376");
        assert!(!stig.contains(&"X-API-01".to_owned()), "its rules are withdrawn");
        let nsa = ids(Benchmark::Nsa);
        assert_eq!(nsa.first().map(String::as_str), Some("CIS-5.2.1"));
        assert!(!nsa.contains(&"CIS-1.1.1".to_owned()));
    }

    #[test]
    fn a_mode_is_the_one_that_the_edition_asks_for_and_apply_does_not_promise_it() {
        let old = one(&asked(Benchmark::Cis10, "{}"), "CIS-1.1.20");
        assert_eq!(ceiling(&old), Mode::from_bits(0o600));
        assert_eq!(old.control.title, "PKI certificates are 0600 or stricter");
        assert_eq!(old.control.remedy, Remedy::ReportOnly(GOES_BY_THE_CONFIGURATION));
        let new = one(&asked(Benchmark::Cis11, "{}"), "CIS-1.1.20");
        assert_eq!(ceiling(&new), Mode::from_bits(0o644));
        assert_eq!(new.control.remedy, Remedy::Safe);
        let wanted = "controls: { CIS-1.1.20: { value: \"0600\" } }";
        let wanted = one(&asked(Benchmark::Cis10, wanted), "CIS-1.1.20");
        assert_eq!(wanted.control.remedy, Remedy::Safe, "apply makes it so");
    }

    #[test]
    fn the_operators_value_does_not_bend_the_benchmark() {
        let lax = "controls: { CIS-4.1.1: { value: \"0644\" } }";
        let judged = one(&asked(Benchmark::Cis12, lax), "CIS-4.1.1");
        assert_eq!(ceiling(&judged), Mode::from_bits(0o600));
        assert_eq!(
            judged.control.remedy,
            Remedy::ReportOnly(GOES_BY_THE_CONFIGURATION)
        );
        let judged = one(&asked(Benchmark::Stig, lax), "CIS-4.1.1");
        assert_eq!(judged.control.remedy, Remedy::Safe);
    }

    #[test]
    fn what_is_off_is_left_out() {
        let off = asked(Benchmark::Cis12, "controls: { CIS-1.1.1: { mode: off } }");
        assert!(
            off.iter()
                .all(|selected| selected.control.id.as_str() != "CIS-1.1.1")
        );
    }
}
