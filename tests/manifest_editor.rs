//! Random edits of random manifests: each is exact or refused, and nothing else changes.
//!
//! What is right is worked out here by other means than the editor's own: the edits are made to the parsed value by
//! [`oracle`], and the lines of the text are compared by [`assert_only_meant_lines`].

#![expect(clippy::print_stdout, reason = "the counts are the result of the trial")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a panic is how a test fails, and its tables are long"
)]

use std::collections::BTreeMap;

use holdfast::domain::Component;
use holdfast::manifest::{self, Edit, Refusal};
use serde_yaml::Value;

/// Of each half; `HOLDFAST_FULL` asks for twenty times as many.
const EDITS: usize = 15_000;
const SEEDS: [u64; 2] = [0x05EE_D0FA, 0x11ED_1750];

const MANIFESTS: [(Component, [&str; 3]); 4] = [
    (
        Component::ApiServer,
        [
            include_str!("manifests/v1.34/kube-apiserver.yaml"),
            include_str!("manifests/v1.35/kube-apiserver.yaml"),
            include_str!("manifests/v1.36/kube-apiserver.yaml"),
        ],
    ),
    (
        Component::ControllerManager,
        [
            include_str!("manifests/v1.34/kube-controller-manager.yaml"),
            include_str!("manifests/v1.35/kube-controller-manager.yaml"),
            include_str!("manifests/v1.36/kube-controller-manager.yaml"),
        ],
    ),
    (
        Component::Scheduler,
        [
            include_str!("manifests/v1.34/kube-scheduler.yaml"),
            include_str!("manifests/v1.35/kube-scheduler.yaml"),
            include_str!("manifests/v1.36/kube-scheduler.yaml"),
        ],
    ),
    (
        Component::Etcd,
        [
            include_str!("manifests/v1.34/etcd.yaml"),
            include_str!("manifests/v1.35/etcd.yaml"),
            include_str!("manifests/v1.36/etcd.yaml"),
        ],
    ),
];

/// xorshift64*: the same cases on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What is done to a manifest before it is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mutation {
    // These leave it plain: it is never refused.
    Untouched,
    Comments,
    EndOfLineComments,
    Quotes,
    BlankLines,
    CarriageReturns,
    IndentedSequences,
    NoLastNewline,
    TrailingSpaces,
    ExtraFlags,
    DuplicateFlags,
    SplitFlags,
    FlagsInArgs,
    SidecarFirst,
    SidecarLast,
    LongLines,
    OtherSpelling,
    DocumentMarks,
    NoVolumes,
    NoProbeHost,
    // These may be refused.
    FlowCommand,
    FlowVolumes,
    EmptyVolumes,
    Json,
    AnchorOnItem,
    AnchoredCommand,
    AliasedCommand,
    MergeKey,
    BlockScalar,
    TaggedItem,
    FoldedItem,
    SeveralDocuments,
    DuplicateKey,
    TabIndent,
    ShellWrapper,
    Variable,
}

impl Mutation {
    const PLAIN: [Self; 19] = [
        Self::Comments,
        Self::EndOfLineComments,
        Self::Quotes,
        Self::BlankLines,
        Self::CarriageReturns,
        Self::IndentedSequences,
        Self::NoLastNewline,
        Self::TrailingSpaces,
        Self::ExtraFlags,
        Self::DuplicateFlags,
        Self::SplitFlags,
        Self::FlagsInArgs,
        Self::SidecarFirst,
        Self::SidecarLast,
        Self::LongLines,
        Self::OtherSpelling,
        Self::DocumentMarks,
        Self::NoVolumes,
        Self::NoProbeHost,
    ];
    const ODD: [Self; 16] = [
        Self::FlowCommand,
        Self::FlowVolumes,
        Self::EmptyVolumes,
        Self::Json,
        Self::AnchorOnItem,
        Self::AnchoredCommand,
        Self::AliasedCommand,
        Self::MergeKey,
        Self::BlockScalar,
        Self::TaggedItem,
        Self::FoldedItem,
        Self::SeveralDocuments,
        Self::DuplicateKey,
        Self::TabIndent,
        Self::ShellWrapper,
        Self::Variable,
    ];
}

/// A manifest as lines without ends, before it is written out.
struct Page {
    lines: Vec<String>,
    ending: &'static str,
    last_newline: bool,
    notes: usize,
}

impl Page {
    fn new(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
            ending: "\n",
            last_newline: true,
            notes: 0,
        }
    }

    fn text(&self) -> String {
        let text = self.lines.join(self.ending);
        if self.last_newline {
            text + self.ending
        } else {
            text
        }
    }

    /// The lines that hold flags of the component.
    fn flag_lines(&self) -> Vec<usize> {
        (0..self.lines.len())
            .filter(|at| self.lines[*at].trim_start().starts_with("- --"))
            .collect()
    }

    fn note(&mut self) -> String {
        self.notes += 1;
        format!("# note-{}: don't touch \"this\"", self.notes)
    }

    fn indent(line: &str) -> usize {
        line.len() - line.trim_start().len()
    }

    fn replace_block(&mut self, key: &str, new: &[String]) {
        let Some(start) = self
            .lines
            .iter()
            .position(|l| l.trim_start().trim_start_matches("- ").starts_with(key))
        else {
            return;
        };
        let own = Self::indent(&self.lines[start])
            + if self.lines[start].trim_start().starts_with("- ") {
                2
            } else {
                0
            };
        let mut end = start + 1;
        while end < self.lines.len() {
            let (indent, line) = (Self::indent(&self.lines[end]), self.lines[end].trim_start());
            let inside = line.is_empty()
                || line.starts_with('#')
                || indent > own
                || (indent == own && line.starts_with("- "));
            if !inside {
                break;
            }
            end += 1;
        }
        self.lines.splice(start..end, new.iter().cloned());
    }

    fn mutate(&mut self, mutation: Mutation, random: &mut Random) {
        match mutation {
            Mutation::Untouched => {}
            Mutation::Comments => {
                for _ in 0..=random.below(6) {
                    let at = random.below(self.lines.len() + 1);
                    let indent = " ".repeat(random.below(9));
                    let note = self.note();
                    self.lines.insert(at, format!("{indent}{note}"));
                }
            }
            Mutation::EndOfLineComments => {
                for _ in 0..=random.below(6) {
                    let at = random.below(self.lines.len());
                    if !self.lines[at].contains('#') && !self.lines[at].trim().is_empty() {
                        let note = self.note();
                        self.lines[at] += &format!("  {note}");
                    }
                }
            }
            Mutation::Quotes => {
                for at in self.flag_lines() {
                    let (indent, line) = (Self::indent(&self.lines[at]), self.lines[at].trim_start());
                    let word = line
                        .trim_start_matches("- ")
                        .split("  #")
                        .next()
                        .unwrap()
                        .trim_end()
                        .to_owned();
                    let rest = line[2 + word.len()..].to_owned();
                    let quote = random.pick(&["", "'", "\""]);
                    if !word.contains(['\'', '"', '\\']) && !word.contains(": ") {
                        self.lines[at] = format!("{}- {quote}{word}{quote}{rest}", " ".repeat(indent));
                    }
                }
            }
            Mutation::BlankLines => {
                for _ in 0..=random.below(5) {
                    let at = random.below(self.lines.len() + 1);
                    self.lines.insert(at, " ".repeat(random.pick(&[0, 0, 4])));
                }
            }
            Mutation::CarriageReturns => self.ending = "\r\n",
            Mutation::NoProbeHost => self.lines.retain(|line| !line.trim_start().starts_with("host:")),
            Mutation::IndentedSequences => {
                let mut inside: Option<usize> = None;
                for line in &mut self.lines {
                    let indent = Self::indent(line);
                    let is_item = line.trim_start().starts_with("- ");
                    if let Some(outer) = inside {
                        let content = !line.trim().is_empty() && !line.trim_start().starts_with('#');
                        if content && (indent < outer || (indent == outer && !is_item)) {
                            inside = None;
                        }
                    }
                    let opens = ["command:", "args:", "volumeMounts:"];
                    let bare = line.trim_start().trim_start_matches("- ");
                    let column = line.len() - bare.len();
                    if inside.is_some() {
                        line.insert_str(0, "   ");
                    } else if opens.iter().any(|open| bare.starts_with(open)) {
                        inside = Some(column);
                    }
                }
            }
            Mutation::NoLastNewline => self.last_newline = false,
            Mutation::TrailingSpaces => {
                for _ in 0..=random.below(6) {
                    let at = random.below(self.lines.len());
                    self.lines[at] += &" ".repeat(1 + random.below(3));
                }
            }
            Mutation::ExtraFlags => {
                for _ in 0..=random.below(3) {
                    let name = random.pick(&ABSENT);
                    let word = format!("--{name}={}", random.pick_value());
                    self.insert_item(random, &word);
                }
            }
            Mutation::DuplicateFlags => {
                let lines = self.flag_lines();
                let at = random.pick(&lines);
                let copy = self.lines[at].split("  #").next().unwrap().to_owned();
                let to = random.pick(&lines);
                self.lines.insert(to, copy);
            }
            Mutation::SplitFlags => {
                let at = random.pick(&self.flag_lines());
                let line = self.lines[at].clone();
                let indent = Self::indent(&line);
                let word = line.trim_start().trim_start_matches("- ");
                if let Some((name, value)) = word.split_once('=')
                    && !["true", "false"].contains(&value.trim_end())
                    && !value.contains('#')
                    && !BOOLEANS.contains(&name.trim_start_matches('-'))
                {
                    self.lines[at] = format!("{}- {name}", " ".repeat(indent));
                    self.lines.insert(
                        at + 1,
                        format!("{}- \"{}\"", " ".repeat(indent), value.trim_end()),
                    );
                }
            }
            Mutation::FlagsInArgs => {
                let lines = self.flag_lines();
                let at = lines[random.below(lines.len() - 1) + 1];
                let indent = self.lines.iter().find(|l| l.contains("command:")).map_or(4, |l| {
                    Self::indent(l) + if l.trim_start().starts_with("- ") { 2 } else { 0 }
                });
                self.lines.insert(at, format!("{}args:", " ".repeat(indent)));
            }
            Mutation::SidecarFirst => {
                let at = self.lines.iter().position(|l| l == "  containers:").unwrap() + 1;
                self.lines.splice(at..at, sidecar());
            }
            Mutation::SidecarLast => {
                let at = self
                    .lines
                    .iter()
                    .position(|l| l == "  hostNetwork: true")
                    .unwrap();
                self.lines.splice(at..at, sidecar());
            }
            Mutation::LongLines => {
                let long = format!("--feature-gates={}", "A=true,".repeat(40 + random.below(100)));
                self.insert_item(random, &long);
            }
            Mutation::OtherSpelling => {
                // Only pflag takes `_` for `-`; only Go's own flags take one dash.
                if self.binary() == "etcd" {
                    self.insert_item(random, "-log-level=info");
                } else {
                    self.insert_item(random, "--log_flush_frequency=5s");
                }
            }
            Mutation::DocumentMarks => {
                if random.one_in(2) {
                    self.lines.insert(0, "---".to_owned());
                }
                self.lines.push(random.pick(&["---", "..."]).to_owned());
            }
            Mutation::NoVolumes => {
                self.replace_block("volumes:", &[]);
                self.replace_block("volumeMounts:", &[]);
            }
            Mutation::FlowCommand => {
                let words: Vec<String> = self
                    .flag_lines()
                    .iter()
                    .map(|at| format!("{:?}", self.lines[*at].trim().trim_start_matches("- ")))
                    .collect();
                let binary = self.binary();
                self.replace_block(
                    "command:",
                    &[format!("  - command: [{binary}, {}]", words.join(", "))],
                );
            }
            Mutation::FlowVolumes => self.replace_block(
                "volumes:",
                &["  volumes: [{name: a, hostPath: {path: /a}}]".to_owned()],
            ),
            Mutation::EmptyVolumes => {
                let empty = random.pick(&["  volumes: []", "  volumes:", "  volumes: null"]);
                self.replace_block("volumes:", &[empty.to_owned()]);
            }
            Mutation::Json => {
                let value: Value = serde_yaml::from_str(&self.text()).unwrap();
                let json = serde_json::to_string_pretty(&value).unwrap();
                *self = Self::new(&json);
            }
            Mutation::AnchorOnItem => {
                let at = random.pick(&self.flag_lines());
                self.lines[at] = self.lines[at].replacen("- ", "- &here ", 1);
            }
            Mutation::AnchoredCommand => self.replace_in_line("command:", "command: &words"),
            Mutation::AliasedCommand => {
                self.replace_in_line("command:", "command: &words");
                let at = self
                    .lines
                    .iter()
                    .position(|l| l == "  hostNetwork: true")
                    .unwrap();
                let twin = ["  initContainers:", "  - name: twin", "    command: *words"];
                self.lines.splice(at..at, twin.map(str::to_owned));
            }
            Mutation::MergeKey => {
                self.replace_in_line("securityContext:", "securityContext: &sc");
                let at = self
                    .lines
                    .iter()
                    .position(|l| l == "  hostNetwork: true")
                    .unwrap();
                let twin = ["  - name: twin", "    securityContext: {<<: *sc}"];
                self.lines.splice(at..at, twin.map(str::to_owned));
                let from = self.lines.iter().position(|l| l.contains("&sc")).unwrap();
                let moved: Vec<String> = self.lines.drain(from..from + 3).collect();
                let at = self.lines.iter().position(|l| l == "  containers:").unwrap();
                self.lines.splice(at..at, moved);
            }
            Mutation::BlockScalar => {
                let at = random.pick(&self.flag_lines());
                let indent = " ".repeat(Self::indent(&self.lines[at]));
                let word = self.lines[at].trim().trim_start_matches("- ").to_owned();
                self.lines[at] = format!("{indent}- {}", random.pick(&[">-", "|-"]));
                self.lines.insert(at + 1, format!("{indent}  {word}"));
            }
            Mutation::TaggedItem => {
                let at = random.pick(&self.flag_lines());
                self.lines[at] = self.lines[at].replacen("- ", "- !!str ", 1);
            }
            Mutation::FoldedItem => {
                let at = random.pick(&self.flag_lines());
                self.lines[at] = format!("{} and", self.lines[at].trim_end());
                let indent = " ".repeat(Self::indent(&self.lines[at]) + 2);
                self.lines.insert(at + 1, format!("{indent}more"));
            }
            Mutation::SeveralDocuments => {
                self.lines.extend(["---", "a: b"].map(str::to_owned));
            }
            Mutation::DuplicateKey => self.lines.push("kind: Pod".to_owned()),
            Mutation::TabIndent => {
                let at = random.pick(&self.flag_lines());
                self.lines[at] = format!("\t{}", self.lines[at].trim_start());
            }
            Mutation::ShellWrapper => {
                let binary = format!("- {}", self.binary());
                let at = self.lines.iter().position(|l| l.trim() == binary).unwrap();
                self.lines[at] = self.lines[at].replace(&binary, "- sh");
            }
            Mutation::Variable => self.insert_item(random, "--node=$(NODE_NAME)"),
        }
    }

    fn binary(&self) -> String {
        let first = self.flag_lines()[0];
        let mut above = self.lines[..first].iter().rev().map(|line| line.trim());
        // An inserted flag in quotes may stand between.
        let word = above.find_map(|line| {
            let word = line.strip_prefix("- ")?.trim_matches(['"', '\'']);
            (!word.contains('#') && !word.starts_with('-')).then(|| word.to_owned())
        });
        word.unwrap()
    }

    fn insert_item(&mut self, random: &mut Random, word: &str) {
        let at = random.pick(&self.flag_lines());
        let indent = " ".repeat(Self::indent(&self.lines[at]));
        let quoted = serde_json::to_string(word).unwrap();
        let plain = word.starts_with('-') && !word.contains([' ', '#', '"', '\'', '\\', ':']);
        let scalar = if plain { word.to_owned() } else { quoted };
        self.lines.insert(at, format!("{indent}- {scalar}"));
    }

    fn replace_in_line(&mut self, from: &str, to: &str) {
        let at = self.lines.iter().position(|line| line.contains(from)).unwrap();
        self.lines[at] = self.lines[at].replacen(from, to, 1);
    }
}

fn sidecar() -> Vec<String> {
    let lines = [
        "  - args:",
        "    - --profiling=true",
        "    - --tls-min-version=none",
        "    image: registry.example/sidecar:1",
        "    name: sidecar",
        "    volumeMounts:",
        "    - mountPath: /var/log/kubernetes",
        "      name: other",
    ];
    lines.map(str::to_owned).to_vec()
}

const ABSENT: [&str; 7] = [
    "profiling",
    "audit-log-path",
    "audit-log-maxage",
    "tls-cipher-suites",
    "terminated-pod-gc-threshold",
    "admission-control-config-file",
    "auto-tls",
];
const BOOLEANS: [&str; 4] = ["profiling", "client-cert-auth", "leader-elect", "auto-tls"];
const VALUES: [&str; 24] = [
    "true",
    "false",
    "yes",
    "on",
    "010",
    "1_000",
    "0",
    "",
    "/var/log/kubernetes/audit.log",
    "a b",
    "a: b",
    "a #b",
    "it's",
    "say \"x\"",
    "back\\slash",
    "$(HOME)",
    "a$b",
    "$$",
    "Node,RBAC",
    "grün",
    "{a}",
    "[b]",
    "- c",
    "&d *e !f %g @h `i|>",
];

impl Random {
    fn pick_value(&mut self) -> &'static str {
        // A variable in the manifest makes the command line unknown; that is a mutation of its own.
        loop {
            let value = self.pick(&VALUES);
            if !value.contains('$') {
                return value;
            }
        }
    }

    fn edit(&mut self, value: &Value, index: usize) -> Edit {
        let words = words_of(value, index);
        let flags = occurrences(&words);
        let there = flags[self.below(flags.len())].0.clone();
        let name = if self.one_in(2) && there.parse::<holdfast::domain::FlagName>().is_ok() {
            there
        } else {
            self.pick(&ABSENT).to_owned()
        };
        let name = name.parse().unwrap();
        let value = if self.one_in(50) {
            "x".repeat(500)
        } else {
            self.pick(&VALUES).to_owned()
        };
        let path = self.pick(&[
            "/var/log/kubernetes",
            "/etc/kubernetes/audit",
            "/etc/ssl/certs",
            "/a b",
        ]);
        match self.below(11) {
            0..=3 => Edit::SetFlag { name, value },
            4 | 5 => Edit::InsertFlag { name, value },
            6 | 7 => Edit::RemoveFlag { name },
            8 => Edit::AddVolume {
                name: self
                    .pick(&["audit", "kubeconfig", "k8s-certs", "on", "123", "etcd-data"])
                    .to_owned(),
                path: path.parse().unwrap(),
                kind: self.pick(&["", "DirectoryOrCreate", "File"]).to_owned(),
            },
            9 => Edit::SetProbeHost {
                host: self.pick(&["127.0.0.1", "::1", "192.0.2.1"]).to_owned(),
            },
            _ => Edit::AddMount {
                volume: self.pick(&["audit", "ca-certs", "on", "123"]).to_owned(),
                path: path.parse().unwrap(),
                read_only: self.one_in(2),
            },
        }
    }
}

/// What the oracle says to an edit.
enum Expected {
    Value(Value),
    Taken,
}

fn words_of(value: &Value, index: usize) -> Vec<String> {
    let container = &value["spec"]["containers"][index];
    ["command", "args"]
        .iter()
        .filter_map(|key| container.get(key)?.as_sequence())
        .flatten()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn container_of(value: &Value, component: Component) -> usize {
    let containers = value["spec"]["containers"].as_sequence().unwrap();
    containers
        .iter()
        .position(|c| c["name"] == component.name())
        .unwrap()
}

/// A flag's name, value, first word and number of words.
type Occurrence = (String, String, usize, usize);

fn occurrences(words: &[String]) -> Vec<Occurrence> {
    let mut found = Vec::new();
    let mut at = 1;
    while at < words.len() {
        let bare = words[at].trim_start_matches('-');
        let (name, value, count) = match bare.split_once('=') {
            Some((name, value)) => (name, value.to_owned(), 1),
            None if BOOLEANS.contains(&bare) => (bare, "true".to_owned(), 1),
            None => (bare, words[at + 1].clone(), 2),
        };
        found.push((name.replace('_', "-"), value.replace("$$", "$"), at, count));
        at += count;
    }
    found
}

fn escape(value: &str) -> String {
    if value.contains("$(") || value.contains("$$") {
        value.replace('$', "$$")
    } else {
        value.to_owned()
    }
}

/// The edit made to the value.
fn oracle(mut value: Value, component: Component, edit: &Edit) -> Expected {
    let index = container_of(&value, component);
    match edit {
        Edit::AddVolume { name, path, kind } => {
            let mut text = format!("{{hostPath: {{path: {:?}", path.as_str());
            if !kind.is_empty() {
                text += &format!(", type: {kind}");
            }
            let volume: Value = serde_yaml::from_str(&format!("{text}}}, name: {name:?}}}")).unwrap();
            add(&mut value["spec"], "volumes", volume, "name")
                .map_or(Expected::Taken, |()| Expected::Value(value))
        }
        Edit::AddMount {
            volume,
            path,
            read_only,
        } => {
            let read_only = if *read_only { ", readOnly: true" } else { "" };
            let text = format!("{{mountPath: {:?}, name: {volume:?}{read_only}}}", path.as_str());
            let mount: Value = serde_yaml::from_str(&text).unwrap();
            add(
                &mut value["spec"]["containers"][index],
                "volumeMounts",
                mount,
                "mountPath",
            )
            .map_or(Expected::Taken, |()| Expected::Value(value))
        }
        Edit::SetProbeHost { host } => {
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let Some(asks) = value["spec"]["containers"][index]
                    .get_mut(probe)
                    .and_then(|probe| probe.get_mut("httpGet"))
                else {
                    continue;
                };
                asks["host"] = host.as_str().into();
            }
            Expected::Value(value)
        }
        Edit::SetFlag { name, value: to } => {
            let words = words_of(&value, index);
            let own: Vec<Occurrence> = occurrences(&words)
                .into_iter()
                .filter(|(flag, ..)| flag == name.as_str())
                .collect();
            let Some((_, now, last, count)) = own.last().cloned() else {
                insert(&mut value, index, name.as_str(), to);
                return Expected::Value(value);
            };
            if now != *to {
                let word = if count == 2 {
                    escape(to)
                } else {
                    format!("{}={}", words[last].split('=').next().unwrap(), escape(to))
                };
                set_word(&mut value, index, last + count - 1, Some(word));
            }
            for (_, _, at, count) in own.iter().rev().skip(1) {
                for at in (*at..at + count).rev() {
                    set_word(&mut value, index, at, None);
                }
            }
            Expected::Value(value)
        }
        Edit::InsertFlag { name, value: to } => {
            let there = occurrences(&words_of(&value, index));
            if !there
                .iter()
                .any(|(flag, now, ..)| flag == name.as_str() && now == to)
            {
                insert(&mut value, index, name.as_str(), to);
            }
            Expected::Value(value)
        }
        Edit::RemoveFlag { name } => {
            for (flag, _, at, count) in occurrences(&words_of(&value, index)).iter().rev() {
                if flag == name.as_str() {
                    for at in (*at..at + count).rev() {
                        set_word(&mut value, index, at, None);
                    }
                }
            }
            Expected::Value(value)
        }
    }
}

fn insert(value: &mut Value, index: usize, name: &str, to: &str) {
    let words = words_of(value, index);
    let mut at = occurrences(&words)
        .last()
        .map_or(0, |(_, _, at, count)| at + count - 1);
    let container = &mut value["spec"]["containers"][index];
    let commands = container["command"].as_sequence().unwrap().len();
    let list = if at < commands { "command" } else { "args" };
    if at >= commands {
        at -= commands;
    }
    let items = container[list].as_sequence_mut().unwrap();
    items.insert(at + 1, format!("--{name}={}", escape(to)).into());
}

fn set_word(value: &mut Value, index: usize, mut at: usize, word: Option<String>) {
    let container = &mut value["spec"]["containers"][index];
    let commands = container["command"].as_sequence().unwrap().len();
    let list = if at < commands { "command" } else { "args" };
    if at >= commands {
        at -= commands;
    }
    let items = container[list].as_sequence_mut().unwrap();
    match word {
        Some(word) => items[at] = word.into(),
        None => drop(items.remove(at)),
    }
}

fn add(holder: &mut Value, key: &str, item: Value, by: &str) -> Option<()> {
    let list = holder
        .as_mapping_mut()
        .unwrap()
        .entry(key.into())
        .or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Sequence(Vec::new());
    }
    let list = list.as_sequence_mut().unwrap();
    match list.iter().find(|there| there[by] == item[by]) {
        Some(there) if *there == item => Some(()),
        Some(_) => None,
        None => {
            list.push(item);
            Some(())
        }
    }
}

/// The names of the flags that an edit may touch.
fn touched(edit: &Edit) -> Option<(String, bool)> {
    match edit {
        Edit::SetFlag { name, .. } => Some((name.as_str().to_owned(), false)),
        Edit::RemoveFlag { name } => Some((name.as_str().to_owned(), true)),
        Edit::InsertFlag { .. }
        | Edit::AddVolume { .. }
        | Edit::AddMount { .. }
        | Edit::SetProbeHost { .. } => None,
    }
}

/// All lines but those of the touched flags survive in order, with all their bytes; so do the comments of a flag that is set.
fn assert_only_meant_lines(before: &str, after: &str, edit: &Edit, context: &str) {
    let flag_of = |line: &str| {
        let word = line
            .trim_start()
            .strip_prefix("- ")?
            .trim_start_matches(['"', '\'']);
        let name = word.trim_start_matches('-');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let name = &name[..end.unwrap_or(name.len())];
        word.starts_with('-').then(|| name.replace('_', "-"))
    };
    let touched = touched(edit);
    let mut after_a_split = false;
    let mut kept = Vec::new();
    let mut comments = Vec::new();
    for line in before.split_inclusive('\n') {
        let meant = touched
            .as_ref()
            .is_some_and(|(name, _)| flag_of(line).as_ref() == Some(name));
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        let value_of_split = after_a_split && !blank;
        if matches!(edit, Edit::SetProbeHost { .. }) && line.trim_start().starts_with("host:") {
            continue;
        }
        if meant || value_of_split {
            let comment = line.find("# note-").map(|at| line[at..].trim_end().to_owned());
            comments.extend(comment);
        } else {
            kept.push(line.trim_end_matches(['\r', '\n']));
        }
        after_a_split = (meant && !line.contains('=')) || (after_a_split && blank);
    }
    let mut rest = after.lines();
    for line in &kept {
        assert!(
            rest.any(|there| there == *line),
            "lost or moved: {line:?}\n{context}"
        );
    }
    // A flag that is set keeps the comment of the occurrence that stays (the last one).
    if let (Some((_, false)), Some(comment)) = (&touched, comments.last())
        && comments.len() == 1
    {
        let line = before.lines().rev().find(|line| {
            touched
                .as_ref()
                .is_some_and(|(n, _)| flag_of(line).as_ref() == Some(n))
        });
        if line.is_some_and(|line| line.contains(comment.as_str())) {
            assert!(
                after.contains(comment.as_str()),
                "lost comment {comment:?}\n{context}"
            );
        }
    }
    let crlf = |text: &str| text.matches("\r\n").count();
    let all = |text: &str| text.matches('\n').count();
    if crlf(before) == all(before) {
        assert_eq!(crlf(after), all(after), "a line end of another kind\n{context}");
    } else {
        assert_eq!(crlf(after), 0, "a line end of another kind\n{context}");
    }
    // Nothing but items and the new volume or mount is added.
    let added = after.lines().count() + before.lines().count();
    assert!(
        added <= 2 * before.lines().count() + 6,
        "too many lines\n{context}"
    );
}

#[derive(Default, Debug, Clone, Copy)]
struct Count {
    exact: usize,
    /// The oracle, too, says that the name or the place is taken.
    taken: usize,
    refused: usize,
}

/// How one edit ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Exact,
    Taken,
    Refused,
}

#[test]
fn random_edits_are_exact_or_refused() {
    // Two halves, so that the trial takes half the time on two cores.
    std::thread::scope(|scope| {
        for seed in SEEDS {
            scope.spawn(move || trial(seed));
        }
    });
}

fn trial(seed: u64) {
    let mut random = Random(seed);
    let mut counts: BTreeMap<Mutation, Count> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut done = 0;
    let wanted = if std::env::var_os("HOLDFAST_FULL").is_some() {
        20 * EDITS
    } else {
        EDITS
    };
    while done < wanted {
        let (component, versions) = MANIFESTS[random.below(4)];
        let mut page = Page::new(versions[random.below(3)]);
        let mut mutations = Vec::new();
        for _ in 0..random.below(5) {
            let mutation = random.pick(&Mutation::PLAIN);
            // Some can be done once, and marks come last.
            if !mutations.contains(&mutation) {
                mutations.push(mutation);
            }
        }
        let odd = random.one_in(6).then(|| random.pick(&Mutation::ODD));
        if let Some(odd) = odd {
            mutations = vec![odd];
        }
        mutations.sort_by_key(|m| order_of(*m));
        for mutation in &mutations {
            page.mutate(*mutation, &mut random);
        }
        if mutations.is_empty() {
            mutations.push(Mutation::Untouched);
        }
        let mut text = page.text();
        for _ in 0..4 {
            done += 1;
            let ending = one(
                &mut text,
                component,
                odd.is_none(),
                &mut random,
                &mutations,
                &mut reasons,
            );
            for mutation in &mutations {
                let count = counts.entry(*mutation).or_default();
                match ending {
                    Ending::Exact => count.exact += 1,
                    Ending::Taken => count.taken += 1,
                    Ending::Refused => count.refused += 1,
                }
            }
        }
    }
    let mut report = format!("{done} edits, seed {seed:#x}\n");
    for (mutation, count) in &counts {
        let Count {
            exact,
            taken,
            refused,
        } = count;
        let name = format!("{mutation:?}");
        report += &format!("{name:>20} exact {exact:>6} taken {taken:>4} refused {refused:>6}\n");
    }
    for (reason, count) in &reasons {
        report += &format!("{count:>6} {reason}\n");
    }
    println!("{report}");
    assert_eq!(counts.len(), Mutation::PLAIN.len() + Mutation::ODD.len() + 1);
}

/// Comments at the end of a line would confuse the mutations that take lines apart.
fn order_of(mutation: Mutation) -> usize {
    use Mutation as M;
    match mutation {
        M::NoVolumes | M::ExtraFlags | M::DuplicateFlags | M::LongLines | M::OtherSpelling => 0,
        M::SplitFlags => 1,
        M::FlagsInArgs => 2,
        M::Quotes => 3,
        M::SidecarFirst | M::SidecarLast => 4,
        M::EndOfLineComments => 6,
        M::Comments | M::BlankLines | M::TrailingSpaces => 7,
        M::DocumentMarks => 8,
        _ => 5,
    }
}

/// One edit, checked.
fn one(
    text: &mut String,
    component: Component,
    plain: bool,
    random: &mut Random,
    mutations: &[Mutation],
    reasons: &mut BTreeMap<String, usize>,
) -> Ending {
    let parsed: Option<Value> = serde_yaml::from_str(text).ok().or_else(|| {
        // A last `---` begins an empty document.
        let first = serde_yaml::Deserializer::from_str(text).next()?;
        serde::Deserialize::deserialize(first).ok()
    });
    let Some(mut before) = parsed else {
        let edit = Edit::RemoveFlag {
            name: "profiling".parse().unwrap(),
        };
        assert!(!plain, "not YAML: {mutations:?}\n{text}");
        assert!(manifest::edit(text, component, &[edit]).is_err(), "{text}");
        return Ending::Refused;
    };
    before.apply_merge().unwrap();
    let index = container_of(&before, component);
    let edit = random.edit(&before, index);
    let context = || format!("{component} {mutations:?} {edit:?}\n--- before\n{text}");
    let result = manifest::edit(text, component, std::slice::from_ref(&edit));
    let odd_words = mutations.iter().any(|m| {
        matches!(
            m,
            Mutation::ShellWrapper | Mutation::Variable | Mutation::FoldedItem
        )
    });
    if odd_words || mutations.contains(&Mutation::SeveralDocuments) || mutations.contains(&Mutation::MergeKey)
    {
        match result {
            Err(refusal) => *reasons.entry(refusal_kind(&refusal)).or_default() += 1,
            Ok(after) => assert!(
                mutations.contains(&Mutation::FoldedItem) && after.contains("more"),
                "{}",
                context()
            ),
        }
        return Ending::Refused;
    }
    match (oracle(before.clone(), component, &edit), result) {
        (Expected::Value(expected), Ok(after)) => {
            let context = format!("{}--- after\n{after}", context());
            let first = serde_yaml::Deserializer::from_str(&after).next().unwrap();
            let actual: Value = serde::Deserialize::deserialize(first).unwrap();
            assert_eq!(actual, expected, "{context}");
            assert_only_meant_lines(text, &after, &edit, &context);
            let pod = manifest::parse(after.as_bytes()).unwrap();
            let line = manifest::command_line(component, &pod).unwrap();
            assert_eq!(line.container(), index, "{context}");
            let container = &pod.containers[index];
            let words: Vec<String> = container.command.iter().chain(&container.args).cloned().collect();
            assert_eq!(words, words_of(&expected, index), "{context}");
            let again = manifest::edit(&after, component, std::slice::from_ref(&edit));
            assert_eq!(again.as_ref(), Ok(&after), "not idempotent: {context}");
            *text = after;
            Ending::Exact
        }
        (Expected::Taken, result) => {
            let taken = matches!(
                result,
                Err(Refusal::NameTaken { .. } | Refusal::MountTaken { .. })
            );
            assert!(taken || (!plain && result.is_err()), "{result:?} {}", context());
            if taken { Ending::Taken } else { Ending::Refused }
        }
        (Expected::Value(expected), Err(refusal)) => {
            *reasons.entry(refusal_kind(&refusal)).or_default() += 1;
            let args = &expected["spec"]["containers"][index]["args"];
            let empty_args = args.as_sequence().is_some_and(Vec::is_empty);
            assert!(!plain || empty_args, "refused ({refusal}): {}", context());
            Ending::Refused
        }
    }
}

fn refusal_kind(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    let text = text.split(" (line").next().unwrap();
    text.split(" in ").next().unwrap().chars().take(100).collect()
}
