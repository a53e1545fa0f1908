//! The difference of two texts as `diff -u` prints it.

/// The unified diff of a file, with three lines of context; empty when nothing differs.
#[must_use]
pub fn unified_diff(path: &str, before: &str, after: &str) -> String {
    let (old, new) = (format!("a{path}"), format!("b{path}"));
    similar::TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&old, &new)
        .to_string()
}
