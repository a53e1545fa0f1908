//! Which kernel parameters a host sets at each boot, by sysctl.d(5), and which of those that the kubelet wants it does not. Pure.

use std::collections::BTreeMap;

/// What the kubelet wants of the host, and without `protectKernelDefaults` sets itself (kubernetes pkg/kubelet/cm/container_manager_linux.go,
/// component-helpers/node/util/sysctl).
pub const WANTED: [(&str, &str); 6] = [
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
];

/// A file of a folder of sysctl.d.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name without the folder: files are read in the order of their names, whatever folder they lie in.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// What the files do not set as the kubelet wants it, in words. Of files of one name the first given counts, as that of the folder that
/// comes first.
#[must_use]
pub fn lacking(files: &[Source]) -> Vec<String> {
    let set = at_boot(files);
    let lacks = WANTED.iter().filter_map(|(name, wanted)| match set.get(*name) {
        Some(Some(value)) if value == wanted => None,
        Some(Some(value)) => Some(format!("{name} is {value}, and must be {wanted}")),
        Some(None) => Some(format!(
            "{name} is set by a pattern, and must be set by its name to {wanted}"
        )),
        None => Some(format!("{name} is not set, and must be {wanted}")),
    });
    lacks.collect()
}

/// The last value of each parameter; none where a pattern sets it after that.
fn at_boot(files: &[Source]) -> BTreeMap<String, Option<String>> {
    let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files {
        by_name.entry(&file.name).or_insert(&file.text);
    }
    let mut set = BTreeMap::new();
    for line in by_name.values().flat_map(|text| text.lines()) {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        // The sign says that a failure is no failure.
        let name = plain_name(name.trim().trim_start_matches('-'));
        match name.split_once(['*', '?', '[']) {
            None => {
                set.insert(name, Some(value.trim().to_owned()));
            }
            Some((begin, _)) => {
                let meant = WANTED.iter().filter(|(wanted, _)| wanted.starts_with(begin));
                set.extend(meant.map(|(wanted, _)| ((*wanted).to_owned(), None)));
            }
        }
    }
    set
}

/// With dots between the parts: a name whose first separator is a slash has slashes there.
fn plain_name(name: &str) -> String {
    let first = name.find(['.', '/']).and_then(|at| name.get(at..=at));
    if first == Some("/") {
        return name
            .chars()
            .map(|letter| match letter {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn all() -> String {
        WANTED.map(|(name, value)| format!("{name} = {value}\n")).concat()
    }

    #[test]
    fn a_host_that_sets_all_of_them_lacks_none_in_whatever_way_they_are_written() {
        assert_eq!(lacking(&[source("90-kubelet.conf", &all())]), [""; 0]);
        let slashes = all().replace("kernel.keys.", "-kernel/keys/").replace(" = ", "=");
        let text = format!(
            "# vm.panic_on_oom = 2\n; no = more\n\n  {}",
            slashes.replace('\n', "  \n  ")
        );
        assert_eq!(lacking(&[source("a.conf", &text)]), [""; 0]);
    }

    #[test]
    fn what_is_missing_or_other_is_named() {
        assert_eq!(lacking(&[]).len(), 6);
        let lacks = |files: &[Source]| lacking(files).join("; ");
        let usual = source("10-kubelet.conf", &all());
        assert_eq!(
            lacks(&[usual.clone(), source("99-own.conf", "kernel.panic=0\n")]),
            "kernel.panic is 0, and must be 10"
        );
        assert_eq!(
            lacks(&[usual.clone(), source("00-own.conf", "kernel.panic=0\n")]),
            ""
        );
        assert_eq!(
            lacks(&[source("10-kubelet.conf", "vm.panic_on_oom=0\n"), usual.clone()])
                .matches("is not set")
                .count(),
            5,
            "the file of the folder that comes first stands for all of its name"
        );
        assert_eq!(
            lacks(&[usual, source("99-own.conf", "kernel.panic*=5\n")])
                .matches("by a pattern")
                .count(),
            2
        );
    }
}
