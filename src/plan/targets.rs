//! placeholder until merged
use crate::controls::{Control, Target};
use crate::domain::{Component, Fact, KubeletFacts, Layout, Manifest, NodePath, PathPattern};
use std::collections::BTreeMap;
/// x
pub struct Asked {
    /// x
    pub files: Vec<NodePath>,
    /// x
    pub patterns: Vec<PathPattern>,
}
/// x
pub fn paths_of(
    _: &Target,
    _: &Layout,
    _: &BTreeMap<Component, Fact<Manifest>>,
    _: &KubeletFacts,
) -> Fact<Asked> {
    Fact::Absent
}
/// x
pub fn documents_of(_: &Control, _: &BTreeMap<Component, Fact<Manifest>>) -> Vec<NodePath> {
    vec![]
}
