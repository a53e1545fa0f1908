//! The lossless editor: all changes of one manifest in one call, exact or refused.

use super::flags::NotUnderstood;
use super::guard;
use super::splice::Draft;
use super::view::ParseError;
use super::yaml;
use crate::domain::{Component, FlagName, NodePath};

/// One change of a manifest. A change that is already so changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The flag is given once, with this value: in the place of its last occurrence and in its form, else on a line of
    /// its own after the last flag.
    SetFlag {
        /// The flag.
        name: FlagName,
        /// Its value.
        value: String,
    },
    /// One more occurrence of a flag that accumulates, unless one with this value is there.
    InsertFlag {
        /// The flag.
        name: FlagName,
        /// Its value.
        value: String,
    },
    /// No occurrence of the flag.
    RemoveFlag {
        /// The flag.
        name: FlagName,
    },
    /// A `hostPath` volume of the pod.
    AddVolume {
        /// The volume's name.
        name: String,
        /// The path on the node.
        path: NodePath,
        /// `hostPath.type`, or nothing.
        kind: String,
    },
    /// A mount of the component's container.
    AddMount {
        /// The volume's name.
        volume: String,
        /// Where the container sees it.
        path: NodePath,
        /// True when the container must not write to it.
        read_only: bool,
    },
    /// The host that the HTTP probes of the component's container ask.
    SetProbeHost {
        /// An address, or a name.
        host: String,
    },
}

/// A manifest that is not edited. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No pod can be read from it.
    #[error("{0}")]
    NotAManifest(ParseError),
    /// Its flags are not known for certain.
    #[error("{0}")]
    CommandLine(NotUnderstood),
    /// It is written in a way that is not edited.
    #[error("{what}{}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Shape {
        /// Which way.
        what: String,
        /// Where, from 1.
        line: Option<usize>,
    },
    /// A volume of that name is there, and is another.
    #[error("the pod has another volume named {name}")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Something else is mounted there.
    #[error("something else is mounted at {path}")]
    MountTaken {
        /// The path in the container.
        path: NodePath,
    },
    /// A guard did not let the result pass.
    #[error("{0}")]
    Guard(&'static str),
}

/// The text after all `edits`. Comments, order, quoting, indentation and line ends stay as they are.
///
/// # Errors
/// When the manifest is not understood for certain, or the result would not be exactly what was asked.
pub fn edit(text: &str, component: Component, edits: &[Edit]) -> Result<String, Refusal> {
    let document = yaml::text_of(text.as_bytes())
        .and_then(yaml::document_of)
        .map_err(Refusal::NotAManifest)?;
    // A merge key makes one text mean things in several places: such a manifest is edited by hand.
    if let Some(offset) = document.merge_key {
        return Err(Refusal::Shape {
            what: "it uses a merge key (<<)".to_owned(),
            line: Some(yaml::position(text, offset).0),
        });
    }
    let mut draft = Draft::new(text.to_owned());
    for edit in edits {
        draft.apply(component, edit)?;
    }
    guard::same_meaning(document.value, &draft.text, component, edits)?;
    guard::only_announced_lines(text, &draft)?;
    Ok(draft.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::unified_diff;

    const POD: &str = include_str!("../../tests/manifests/v1.35/kube-scheduler.yaml");

    fn set(name: &str, value: &str) -> Edit {
        Edit::SetFlag {
            name: name.parse().unwrap(),
            value: value.to_owned(),
        }
    }

    fn insert(name: &str, value: &str) -> Edit {
        Edit::InsertFlag {
            name: name.parse().unwrap(),
            value: value.to_owned(),
        }
    }

    fn remove(name: &str) -> Edit {
        Edit::RemoveFlag {
            name: name.parse().unwrap(),
        }
    }

    fn volume(name: &str, path: &str, kind: &str) -> Edit {
        Edit::AddVolume {
            name: name.to_owned(),
            path: path.parse().unwrap(),
            kind: kind.to_owned(),
        }
    }

    fn mount(volume: &str, path: &str, read_only: bool) -> Edit {
        Edit::AddMount {
            volume: volume.to_owned(),
            path: path.parse().unwrap(),
            read_only,
        }
    }

    /// The lines taken away (`-`) and added (`+`); the edit made twice must be the edit made once.
    fn changes(text: &str, edits: &[Edit]) -> Result<Vec<String>, Refusal> {
        let after = edit(text, Component::Scheduler, edits)?;
        assert_eq!(
            edit(&after, Component::Scheduler, edits).as_ref(),
            Ok(&after),
            "not idempotent"
        );
        let diff = unified_diff("/a", text, &after);
        let changed = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-']));
        Ok(changed
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect())
    }

    /// A small manifest with these lines as the container's.
    fn small(container: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: s}}\nspec:\n  containers:\n  - name: kube-scheduler\n{container}"
        )
    }

    #[test]
    fn each_edit_of_a_kubeadm_manifest_changes_only_its_lines() {
        let conf = "/etc/kubernetes/scheduler.conf";
        let table: [(Edit, &[&str]); 16] = [
            (
                set("leader-elect", "false"),
                &["-    - --leader-elect=true", "+    - --leader-elect=false"],
            ),
            (set("leader-elect", "true"), &[]),
            (set("profiling", "false"), &["+    - --profiling=false"]),
            (
                set("bind-address", "::1"),
                &["-    - --bind-address=127.0.0.1", "+    - --bind-address=::1"],
            ),
            (set("note", "a: b"), &["+    - '--note=a: b'"]),
            (set("note", "it's #1 #2"), &["+    - '--note=it''s #1 #2'"]),
            (set("note", "a\nb\t"), &["+    - \"--note=a\\nb\\t\""]),
            (set("note", ""), &["+    - --note="]),
            (set("note", "$(HOME)"), &["+    - --note=$$(HOME)"]),
            (set("note", "a$b"), &["+    - --note=a$b"]),
            (insert("leader-elect", "false"), &["+    - --leader-elect=false"]),
            (insert("leader-elect", "true"), &[]),
            (remove("leader-elect"), &["-    - --leader-elect=true"]),
            (remove("profiling"), &[]),
            (volume("kubeconfig", conf, "FileOrCreate"), &[]),
            (mount("kubeconfig", conf, true), &[]),
        ];
        for (edit, expected) in table {
            assert_eq!(
                changes(POD, std::slice::from_ref(&edit)).as_deref(),
                Ok(lines(expected).as_slice()),
                "{edit:?}"
            );
        }
    }

    fn lines(all: &[&str]) -> Vec<String> {
        all.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_volume_and_its_mount_go_to_the_end_of_their_lists() {
        let edits = [
            volume("on", "/var/log/a b", "DirectoryOrCreate"),
            mount("on", "/var/log/a b", false),
            volume("123", "/x", ""),
            mount("123", "/x", true),
        ];
        let expected = [
            "+    - mountPath: /var/log/a b",
            "+      name: 'on'",
            "+    - mountPath: /x",
            "+      name: '123'",
            "+      readOnly: true",
            "+  - hostPath:",
            "+      path: /var/log/a b",
            "+      type: DirectoryOrCreate",
            "+    name: 'on'",
            "+  - hostPath:",
            "+      path: /x",
            "+    name: '123'",
        ];
        assert_eq!(changes(POD, &edits), Ok(lines(&expected)));
    }

    #[test]
    fn lists_that_are_not_there_are_made() {
        let text = small("    command: [kube-scheduler]\n  hostNetwork: true\nstatus: {}\n");
        let edits = [volume("a", "/a", ""), mount("a", "/a", true)];
        let expected = [
            "+    volumeMounts:",
            "+    - mountPath: /a",
            "+      name: a",
            "+      readOnly: true",
            "+  volumes:",
            "+  - hostPath:",
            "+      path: /a",
            "+    name: a",
        ];
        assert_eq!(changes(&text, &edits), Ok(lines(&expected)));
    }

    #[test]
    fn names_and_places_that_are_taken_are_refused() {
        let name = "kubeconfig".to_owned();
        let path = "/etc/kubernetes/scheduler.conf";
        for edit in [
            volume("kubeconfig", "/x", "FileOrCreate"),
            volume("kubeconfig", path, ""),
        ] {
            assert_eq!(
                changes(POD, &[edit]),
                Err(Refusal::NameTaken { name: name.clone() })
            );
        }
        for edit in [mount("other", path, true), mount("kubeconfig", path, false)] {
            let path = path.parse().unwrap();
            assert_eq!(changes(POD, &[edit]), Err(Refusal::MountTaken { path }));
        }
        let other = POD.replace("  volumes:", "  volumes:\n  - emptyDir: {}\n    name: tmp");
        assert_eq!(
            changes(&other, &[volume("tmp", "/tmp", "")]),
            Err(Refusal::NameTaken {
                name: "tmp".to_owned()
            })
        );
    }

    #[test]
    fn what_is_already_so_in_other_words_is_left() {
        let text = POD
            .replace(
                "path: /etc/kubernetes/scheduler.conf",
                "path: /etc/kubernetes//scheduler.conf",
            )
            .replace(
                "mountPath: /etc/kubernetes/scheduler.conf",
                "mountPath: \"/etc/kubernetes/scheduler.conf/\"",
            )
            .replace("      readOnly: true", "      readOnly: on");
        let path = "/etc/kubernetes/scheduler.conf";
        let edits = [
            volume("kubeconfig", path, "FileOrCreate"),
            mount("kubeconfig", path, true),
        ];
        assert_eq!(changes(&text, &edits), Ok(Vec::new()));
    }

    #[test]
    fn quotes_comments_and_places_of_a_flag_stay() {
        let text = small(
            "    command: # what runs\n    - \"kube-scheduler\"\n    # why a\n    - '--a=1' # one\n    - \"--b=2\"   \n\n    - --c=3 # three\n    # the end\n    image: x # y\n",
        );
        let edits = [
            set("a", "it's"),
            set("b", "say \"x\""),
            set("c", "4"),
            set("d", "5"),
        ];
        let expected = [
            "-    - '--a=1' # one",
            "-    - \"--b=2\"   ",
            "+    - '--a=it''s' # one",
            "+    - \"--b=say \\\"x\\\"\"   ",
            "-    - --c=3 # three",
            "+    - --c=4 # three",
            "+    - --d=5",
        ];
        assert_eq!(changes(&text, &edits), Ok(lines(&expected)));
    }

    #[test]
    fn the_last_occurrence_of_a_repeated_flag_stays() {
        let text = small(
            "    command:\n    - kube-scheduler\n    - --a=1 # first\n    - --b=2\n    - --a\n    # between\n    - '3' # last\n",
        );
        let expected = ["-    - --a=1 # first", "-    - '3' # last", "+    - 'yes' # last"];
        assert_eq!(changes(&text, &[set("a", "yes")]), Ok(lines(&expected)));
        let all = ["-    - --a=1 # first", "-    - --a", "-    - '3' # last"];
        assert_eq!(changes(&text, &[remove("a")]), Ok(lines(&all)));
        let plain = text.replace("'3'", "x3");
        let quoted = ["-    - --a=1 # first", "-    - x3 # last", "+    - '010' # last"];
        assert_eq!(changes(&plain, &[set("a", "010")]), Ok(lines(&quoted)));
    }

    #[test]
    fn a_bare_boolean_stays_bare_while_it_is_true() {
        let text = small("    command:\n    - kube-scheduler\n    - --profiling\n");
        assert_eq!(changes(&text, &[set("profiling", "true")]), Ok(Vec::new()));
        let expected = ["-    - --profiling", "+    - --profiling=false"];
        assert_eq!(changes(&text, &[set("profiling", "false")]), Ok(lines(&expected)));
    }

    #[test]
    fn flags_in_args_are_edited_there() {
        let text =
            small("    command:\n    - kube-scheduler\n    args:\n        -   --a=1\n        -   --b=2\n");
        let edits = [remove("a"), set("c", "3")];
        let expected = ["-        -   --a=1", "+        -   --c=3"];
        assert_eq!(changes(&text, &edits), Ok(lines(&expected)));
        let empty = Refusal::Shape {
            what: "its args would be empty".to_owned(),
            line: None,
        };
        assert_eq!(changes(&text, &[remove("a"), remove("b")]), Err(empty));
        for nothing in ["    args:\n", "    args: []\n", "    args: null\n"] {
            let text = small(&format!(
                "    command:\n    - kube-scheduler\n    - --a=1\n{nothing}"
            ));
            assert_eq!(
                changes(&text, &[set("a", "2")]),
                Ok(lines(&["-    - --a=1", "+    - --a=2"]))
            );
        }
    }

    #[test]
    fn a_sidecar_is_never_touched() {
        let sidecar = "  - name: sidecar\n    command: [sh, -c, 'kube-scheduler --profiling=true']\n    args:\n    - --profiling=true\n";
        let first = POD.replace("  containers:\n", &format!("  containers:\n{sidecar}"));
        let last = POD.replace("  hostNetwork", &format!("{sidecar}  hostNetwork"));
        for text in [first, last] {
            let edits = [set("profiling", "false"), mount("kubeconfig", "/x", true)];
            let expected = [
                "+    - --profiling=false",
                "+    - mountPath: /x",
                "+      name: kubeconfig",
                "+      readOnly: true",
            ];
            assert_eq!(changes(&text, &edits), Ok(lines(&expected)));
        }
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        let edits = [
            set("profiling", "false"),
            volume("a", "/a", ""),
            mount("a", "/a", true),
        ];
        let dos = POD.replace('\n', "\r\n");
        let after = edit(&dos, Component::Scheduler, &edits).unwrap();
        assert_eq!(
            after.replace("\r\n", "\n"),
            edit(POD, Component::Scheduler, &edits).unwrap()
        );
        assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());

        let open = small("    command:\n    - kube-scheduler\n    - --a=1");
        let with = |edit_: Edit| edit(&open, Component::Scheduler, &[edit_]).unwrap();
        assert_eq!(with(set("b", "2")), format!("{open}\n    - --b=2"));
        assert_eq!(with(set("a", "2")), open.replace("a=1", "a=2"));
        assert_eq!(with(remove("a")), small("    command:\n    - kube-scheduler\n"));
        let mixed = small("    command:\r\n    - kube-scheduler\r\n    - --a=1\r\n");
        assert_eq!(
            edit(&mixed, Component::Scheduler, &[set("b", "2")]).unwrap(),
            format!("{mixed}    - --b=2\r\n")
        );
    }

    #[test]
    fn ways_of_writing_that_are_not_edited_are_refused_with_their_line() {
        let table = [
            (
                "    command: [kube-scheduler, --a=1]\n",
                Some(7),
                "not written as a list",
            ),
            (
                "    command:\n    - kube-scheduler\n    - >-\n      --a=1\n",
                Some(9),
                "one line of its own",
            ),
            (
                "    command:\n    - kube-scheduler\n    - &x --a=1\n",
                Some(9),
                "one line of its own",
            ),
            (
                "    command:\n    - kube-scheduler\n    - !!str --a=1\n",
                Some(9),
                "an item of the list",
            ),
            (
                "    command:\n    - kube-scheduler\n    -\n      --a=1\n",
                Some(10),
                "one line of its own",
            ),
            (
                "    command:\n    - kube-scheduler\n    - --a=1\n      2\n",
                Some(9),
                "one line of its own",
            ),
        ];
        for (container, line, what) in table {
            let refusal = changes(&small(container), &[set("a", "2")]).unwrap_err();
            let Refusal::Shape {
                what: found,
                line: at,
            } = &refusal
            else {
                panic!("{container}: {refusal:?}");
            };
            assert!(found.contains(what), "{container}: {found}");
            assert_eq!(*at, line, "{container}: {found}");
        }
        for volumes in ["[]", "", " null", "[{name: a, emptyDir: {}}]"] {
            let text = small(&format!("    command: [kube-scheduler]\n  volumes: {volumes}\n"));
            let refusal = changes(&text, &[volume("b", "/b", "")]).unwrap_err();
            assert!(
                matches!(&refusal, Refusal::Shape { what, line: Some(8) } if what.contains("volumes")),
                "{volumes:?}: {refusal:?}"
            );
        }
        let json =
            serde_json::to_string_pretty(&serde_yaml::from_str::<serde_yaml::Value>(POD).unwrap()).unwrap();
        assert!(matches!(
            changes(&json, &[set("a", "2")]),
            Err(Refusal::Shape { line: Some(_), .. })
        ));
    }

    #[test]
    fn what_stands_in_two_places_at_once_is_refused() {
        let alias = small(
            "    command: &c\n    - kube-scheduler\n    - --a=1\n  initContainers:\n  - name: b\n    command: *c\n",
        );
        assert!(matches!(
            changes(&alias, &[set("a", "2")]),
            Err(Refusal::Guard(_))
        ));
        let aliased = small("    command: *c\n").replace(
            "  containers:",
            "  initContainers:\n  - name: b\n    command: &c [kube-scheduler, --a=1]\n  containers:",
        );
        assert!(matches!(
            changes(&aliased, &[set("a", "2")]),
            Err(Refusal::Shape { .. })
        ));
        for merge in ["<<: *x", "\"<<\": *x", "{<<: *x}"] {
            let text = small("    command:\n    - kube-scheduler\n  securityContext:\n    ")
                .replace("metadata: {name: s}", "metadata: &x {name: s}")
                + merge
                + "\n";
            assert_eq!(
                changes(&text, &[set("a", "2")]),
                Err(Refusal::Shape {
                    what: "it uses a merge key (<<)".to_owned(),
                    line: Some(10)
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_not_edited() {
        let shell = small("    command:\n    - sh\n    - -c\n    - kube-scheduler --a=1\n");
        assert!(matches!(
            changes(&shell, &[set("a", "2")]),
            Err(Refusal::CommandLine(_))
        ));
        let two = format!("{POD}---\n{POD}");
        assert!(matches!(
            changes(&two, &[set("a", "2")]),
            Err(Refusal::NotAManifest(_))
        ));
        // What comes out must be a manifest, too.
        let bell = changes(POD, &[set("a", "\u{7f}")]);
        assert!(matches!(bell, Err(Refusal::NotAManifest(_))), "{bell:?}");
        let large = edit(
            POD,
            Component::Scheduler,
            &[set("a", &"x".repeat(crate::manifest::MAX_BYTES))],
        );
        assert!(matches!(large, Err(Refusal::NotAManifest(_))));
    }

    #[test]
    fn odd_but_legal_indentation_is_kept() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: s}\nspec:\n      containers:\n         -   command:\n                 - kube-scheduler\n                 -  --a=1\n             name: kube-scheduler\n";
        let edits = [
            set("a", "2"),
            set("b", "3"),
            mount("v", "/v", true),
            volume("v", "/v", ""),
        ];
        let expected = [
            "-                 -  --a=1",
            "+                 -  --a=2",
            "+                 -  --b=3",
            "+             volumeMounts:",
            "+             - mountPath: /v",
            "+               name: v",
            "+               readOnly: true",
            "+      volumes:",
            "+      - hostPath:",
            "+          path: /v",
            "+        name: v",
        ];
        assert_eq!(changes(text, &edits), Ok(lines(&expected)));
    }
}
