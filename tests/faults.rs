//! The table of faults, tests/faults.md, says what is true: each fault has one row, each test that is named is there, the counts are right.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test reads the sources, and fails loudly"
)]

use std::path::Path;

const TABLE: &str = "tests/faults.md";
const FAULTS: usize = 52;

const SHOWN: &str = "shown";
const ON_THE_BED: &str = "shown on the bed";
const NOT_SHOWN: &str = "not shown";
const CANNOT_OCCUR: &str = "cannot occur on one node";

struct Row {
    id: String,
    state: String,
    tests: String,
    /// How the fault is provoked, or why it is not shown.
    how: String,
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).expect(path)
}

fn rows() -> Vec<Row> {
    let text = read(TABLE);
    let rows = text.lines().filter(|line| line.starts_with("| F"));
    rows.map(row).collect()
}

fn row(line: &str) -> Row {
    let inner = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    let cells: Vec<String> = inner
        .expect(line)
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect();
    let [id, _, state, tests, how] = <[String; 5]>::try_from(cells).expect("five cells");
    Row {
        id,
        state,
        tests,
        how,
    }
}

/// The tests that a text names: `path.rs::name` between backticks.
fn named(text: &str) -> Vec<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|word| word.split_once("::"))
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, name)| (path.to_owned(), name.to_owned()))
        .collect()
}

/// True when the file has a test of that name: a function with the attribute just above it.
fn has_test(path: &str, name: &str) -> bool {
    let text = read(path);
    let function = format!("fn {name}(");
    let above: Vec<&str> = text
        .lines()
        .take_while(|line| !line.trim_start().starts_with(&function))
        .collect();
    let is_there = above.len() < text.lines().count();
    is_there
        && above
            .iter()
            .rev()
            .take_while(|line| line.trim_start().starts_with('#'))
            .any(|line| line.trim() == "#[test]")
}

#[test]
fn each_fault_has_one_row_with_a_state() {
    let ids: Vec<String> = rows().into_iter().map(|row| row.id).collect();
    let expected: Vec<String> = (1..=FAULTS).map(|number| format!("F{number}")).collect();
    assert_eq!(ids, expected);
    for row in rows() {
        let states = [SHOWN, ON_THE_BED, NOT_SHOWN, CANNOT_OCCUR];
        assert!(states.contains(&row.state.as_str()), "{}: {}", row.id, row.state);
    }
}

#[test]
fn what_is_shown_names_its_tests_and_all_else_its_reason() {
    for row in rows() {
        let tests = named(&row.tests);
        let is_shown = [SHOWN, ON_THE_BED].contains(&row.state.as_str());
        assert_eq!(!tests.is_empty(), is_shown, "{}: {}", row.id, row.tests);
        assert!(!row.how.is_empty(), "{}", row.id);
        let is_of_the_bed = |(path, _): &(String, String)| path.starts_with("tests/bed");
        assert_eq!(
            tests.iter().any(is_of_the_bed),
            row.state == ON_THE_BED,
            "{}: {}",
            row.id,
            row.tests
        );
    }
}

#[test]
fn each_test_that_is_named_is_there() {
    let all = named(&read(TABLE));
    assert!(all.len() > FAULTS);
    let missing: Vec<_> = all.iter().filter(|(path, name)| !has_test(path, name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
    assert!(!has_test(file!(), "has_test"), "no test");
    assert!(!has_test(file!(), "of_another_name"));
}

#[test]
fn the_counts_are_those_of_the_rows() {
    let of = |state: &str| rows().iter().filter(|row| row.state == state).count();
    let on_the_bed = of(ON_THE_BED);
    let expected = format!(
        "Shown: {}, of these on the bed: {on_the_bed}; not shown: {}; cannot occur: {}.",
        of(SHOWN) + on_the_bed,
        of(NOT_SHOWN),
        of(CANNOT_OCCUR)
    );
    let text = read(TABLE);
    assert_eq!(
        text.lines().find(|line| line.starts_with("Shown: ")),
        Some(expected.as_str())
    );
}
