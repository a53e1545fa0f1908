//! etcd's quota by its flag, for an etcd that does not tell it (before 3.6).

use std::collections::BTreeMap;

use crate::domain::{Component, Fact, FlagName, Manifest};
use crate::manifest::{command_line, parse_go_integer};

/// etcd's own default (`DefaultQuotaBytes`, server/storage/quota.go).
const DEFAULT: u64 = 2 << 30;

/// The quota in bytes by `--quota-backend-bytes` of the etcd of this node; its default where that is not given, or etcd runs elsewhere. A
/// negative one is none at all, as etcd takes it. A value that is not understood allows nothing.
pub(super) fn by_flag(manifests: &BTreeMap<Component, Fact<Manifest>>) -> u64 {
    let Some(manifest) = manifests.get(&Component::Etcd).and_then(Fact::known) else {
        return DEFAULT;
    };
    let Ok(line) = command_line(Component::Etcd, &manifest.pod) else {
        return 0;
    };
    let given = "quota-backend-bytes"
        .parse::<FlagName>()
        .ok()
        .and_then(|flag| line.scalar(&flag).map(str::to_owned));
    match given.as_deref().map(parse_go_integer) {
        None | Some(Some(0)) => DEFAULT,
        Some(Some(bytes)) => u64::try_from(bytes).unwrap_or(u64::MAX),
        Some(None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures::{ETCD, manifest};

    fn quota(flag: &str) -> u64 {
        let text = ETCD.replace("--data-dir=", &format!("{flag}\n    - --data-dir="));
        by_flag(&BTreeMap::from([(
            Component::Etcd,
            Fact::Known(manifest(Component::Etcd, &text)),
        )]))
    }

    #[test]
    fn it_is_what_the_flag_says_and_etcds_default_without_it() {
        assert_eq!(by_flag(&BTreeMap::new()), DEFAULT);
        assert_eq!(quota("--quota-backend-bytes=8589934592"), 8 << 30);
        assert_eq!(quota("--quota-backend-bytes=0"), DEFAULT);
        assert_eq!(quota("--quota-backend-bytes=-1"), u64::MAX);
        assert_eq!(quota("--quota-backend-bytes=8Gi"), 0);
    }
}
