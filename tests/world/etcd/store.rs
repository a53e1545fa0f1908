//! Keys with their revisions.

use std::collections::BTreeMap;

use prost::bytes::Bytes;

/// One version of a key: its revision, and its value unless it was deleted.
type Version = (i64, Option<Bytes>);

/// All that etcd holds.
#[derive(Clone)]
pub struct Store {
    revision: i64,
    compacted: i64,
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    log: Vec<(Vec<u8>, Version)>,
    /// The names of the members.
    pub members: Vec<String>,
    /// Raised alarms, by number.
    pub alarms: Vec<i32>,
    /// What `Status` complains about.
    pub errors: Vec<String>,
    /// Sizes that `Status` tells: of the file, in use, the quota.
    pub sizes: [i64; 3],
    /// The version that `Status` tells.
    pub version: String,
    /// Whether there is a leader.
    pub leads: bool,
}

/// The revision is no longer there.
pub struct Compacted;

impl Store {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            keys: BTreeMap::new(),
            log: Vec::new(),
            members: vec!["node1".to_owned()],
            alarms: Vec::new(),
            errors: Vec::new(),
            sizes: [20 << 20, 10 << 20, 2 << 30],
            version: "3.6.4".to_owned(),
            leads: true,
        }
    }

    /// The newest revision.
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// All before it is gone.
    pub const fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Writes or deletes a key; its revision.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> i64 {
        self.revision += 1;
        let version = (self.revision, value.map(Bytes::copy_from_slice));
        self.log.push((key.to_vec(), version.clone()));
        self.keys.entry(key.to_vec()).or_default().push(version);
        self.revision
    }

    /// Writes a key if its newest version is of that revision (0: there is none); else the revision of that one.
    pub fn put_over(&mut self, key: &[u8], expected: i64, value: Option<&[u8]>) -> Result<i64, i64> {
        let found = self.newest(key).map_or(0, |(revision, _)| revision);
        if found == expected {
            Ok(self.put(key, value))
        } else {
            Err(found)
        }
    }

    /// The newest value of a key and its revision.
    pub fn newest(&self, key: &[u8]) -> Option<(i64, Bytes)> {
        let (revision, value) = self.keys.get(key)?.last()?;
        Some((*revision, value.clone()?))
    }

    /// Gives up all revisions before this one.
    pub fn compact(&mut self, revision: i64) {
        self.compacted = revision;
        for versions in self.keys.values_mut() {
            let kept = versions.iter().rposition(|(of, _)| *of <= revision).unwrap_or(0);
            versions.drain(..kept);
        }
        self.keys
            .retain(|_, versions| !matches!(versions.as_slice(), [(of, None)] if *of <= revision));
        self.log.retain(|(_, (of, _))| *of >= revision);
    }

    /// The keys in `[start, end)` (an empty end: `start` alone) at a revision, 0 being the newest.
    pub fn range(
        &self,
        start: &[u8],
        end: &[u8],
        revision: i64,
    ) -> Result<Vec<(Vec<u8>, i64, Bytes)>, Compacted> {
        let revision = if revision == 0 { self.revision } else { revision };
        if revision < self.compacted {
            return Err(Compacted);
        }
        let only = end.is_empty();
        let keys = self.keys.range(start.to_vec()..);
        Ok(keys
            .take_while(|(key, _)| {
                if only {
                    key.as_slice() == start
                } else {
                    key.as_slice() < end
                }
            })
            .filter_map(|(key, versions)| {
                let (of, value) = versions.iter().rfind(|(of, _)| *of <= revision)?;
                Some((key.clone(), *of, value.clone()?))
            })
            .collect())
    }

    /// What happened to the keys in `[start, end)` from a revision on.
    pub fn events(&self, start: &[u8], end: &[u8], from: i64) -> Vec<(Vec<u8>, Version)> {
        let first = self.log.partition_point(|(_, (of, _))| *of < from);
        self.log
            .iter()
            .skip(first)
            .filter(|(key, _)| key.as_slice() >= start && key.as_slice() < end)
            .cloned()
            .collect()
    }
}
