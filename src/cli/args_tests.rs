use super::*;

fn read(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::read(
        std::iter::once("holdfast")
            .chain(line.split_whitespace())
            .map(OsString::from),
    )
}

fn class(line: &str) -> ExitClass {
    exit_class(&read(line).unwrap_err())
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    let expected = Arguments {
        global: Global {
            config: Some("/tmp/c.yaml".into()),
            root: Some("/mnt".into()),
            output: Output::Json,
            color: When::Never,
        },
        command: Command::Check(Check::default()),
    };
    for line in [
        "--config /tmp/c.yaml --root /mnt --output json --color never check",
        "check --config /tmp/c.yaml --root /mnt --output json --color never",
    ] {
        assert_eq!(read(line).unwrap(), expected, "{line}");
    }
    let global = read("check").unwrap().global;
    assert_eq!(
        (global.config, global.root, global.output, global.color),
        (None, None, Output::Text, When::Auto)
    );
}

#[test]
fn each_command_is_read_with_its_arguments() {
    let command = |line| read(line).unwrap().command;
    assert_eq!(
        command("apply --yes --any-time"),
        Command::Apply(Apply {
            yes: true,
            scope: Scope {
                any_time: true,
                retry: false
            }
        })
    );
    assert_eq!(
        command("explain 1.2.15"),
        Command::Explain(Explain {
            control: ControlName::Ours("CIS-1.2.15".parse().unwrap())
        })
    );
    assert_eq!(
        command("explain cis-1.8:1.2.13"),
        Command::Explain(Explain {
            control: ControlName::Cis(Benchmark::Cis8, "1.2.13".to_owned())
        })
    );
    for benchmark in Benchmark::ALL {
        let line = format!("check --benchmark {}", benchmark.name());
        assert_eq!(
            read(&line).unwrap().command,
            Command::Check(Check {
                benchmark: Some(benchmark),
                cluster: false
            })
        );
    }
    assert_eq!(
        command("pause --for 2h30m --reason upgrade"),
        Command::Pause(Pause {
            duration: Duration::from_secs(9000),
            reason: "upgrade".to_owned()
        })
    );
    assert_eq!(
        command("bounce kube-apiserver --dry-run --any-time"),
        Command::Bounce(Bounce {
            component: Component::ApiServer,
            dry_run: true,
            yes: false,
            any_time: true
        })
    );
    for name in ["check", "plan", "apply", "validate", "run", "controls", "resume"] {
        assert_eq!(command(name).name(), name);
    }
}

#[test]
fn wrong_arguments_exit_64_and_help_and_version_exit_0() {
    for line in [
        "",
        "chekc",
        "check --colour never",
        "check --output yaml",
        "check --benchmark cis-1.7",
        "check --benchmark",
        "plan --benchmark stig",
        "explain",
        "explain nonsense",
        "pause --for 2h",
        "pause --for soon --reason x",
        "apply --root /mnt",
        "run --root /mnt",
        "--root /mnt pause --for 2h --reason x",
        "resume --root /mnt",
        "bounce",
        "bounce kubelet",
        "bounce etcd --root /mnt",
        "recover --output json",
        "pause --for 2h --reason x --output json",
        "--output json resume",
        "run --output json",
        "export kubeadm-patches /x --output json",
        "encryption enable --output json",
        "encryption rotate --output json --dry-run",
        "encryption abort --output json",
        "encryption disable --output json",
        "encryption forget aescbc:key1 --output json",
    ] {
        assert_eq!(class(line), ExitClass::Usage, "{line}");
    }
    for line in [
        "apply --output json",
        "bounce etcd --output json",
        "explain CIS-1.2.15 --output json",
        "encryption status --output json",
        "encryption verify --output json",
        "encryption keys --output json",
    ] {
        read(line).unwrap();
    }
    for line in ["--help", "-h", "--version", "apply --help"] {
        assert_eq!(class(line), ExitClass::Compliant, "{line}");
    }
}

#[test]
fn errors_say_what_to_write() {
    let words = |line: &str| read(line).unwrap_err().to_string();
    assert!(words("chekc").contains("'check'"));
    assert!(words("pause --for soon --reason x").contains("write it like 90s, 3m, 2h30m or 90d"));
    assert!(
        words("check --benchmark cis-2.0")
            .contains("it is one of cis-1.8, cis-1.9, cis-1.10, cis-1.11, cis-1.12, stig, nsa")
    );
    assert!(words("explain nonsense").contains("write it like CIS-1.2.15"));
    let json = words("encryption rotate --output json");
    assert!(
        json.contains("bounce and encryption status") && json.contains("not encryption rotate"),
        "{json}"
    );
    assert!(words("apply --root /mnt").contains("--root is for commands that change nothing"));
}

#[test]
fn help_lists_every_command_and_every_exit_code() {
    let help = read("--help").unwrap_err().to_string();
    for name in [
        "check", "plan", "apply", "run", "controls", "explain", "pause", "resume", "bounce", "recover",
    ] {
        assert!(help.contains(&format!("\n  {name} ")), "{name}\n{help}");
    }
    use ExitClass::{Compliant, Configuration, Drift, Failed, Unknown, Usage};
    for class in [Compliant, Failed, Drift, Unknown, Usage, Configuration] {
        assert!(
            help.contains(&format!("\n  {:<4}", class.code())),
            "{class:?}\n{help}"
        );
    }
    assert!(help.contains("holdfast pause --for 2h"));
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let set = Some(OsStr::new("1"));
    let empty = Some(OsStr::new(""));
    assert_eq!(When::Auto.colour(true, None), Colour::Always);
    assert_eq!(When::Auto.colour(true, empty), Colour::Always);
    assert_eq!(When::Auto.colour(true, set), Colour::Never);
    assert_eq!(When::Auto.colour(false, None), Colour::Never);
    assert_eq!(When::Always.colour(false, set), Colour::Always);
    assert_eq!(When::Never.colour(true, None), Colour::Never);
}
