//! What a unit file of systemd runs, and what it puts into the environment. Pure.
//!
//! Source: systemd.syntax(7), systemd.exec(5), systemd.service(5).

/// What is out of the ordinary in the kubelet's unit, a drop-in of it or one of its environment files, each in a few words that show no value.
#[must_use]
pub fn concerns_of_unit(text: &str) -> Vec<String> {
    let mut concerns = Vec::new();
    for (key, value) in service_lines(text) {
        match key.as_str() {
            "ExecStart" => concerns.extend(of_program(&value)),
            "ExecStartPre" | "ExecStartPost" | "ExecCondition" | "ExecReload" | "ExecStop"
            | "ExecStopPost"
                if !value.is_empty() =>
            {
                concerns.push(format!("{key} runs {}", program(&value)));
            }
            "Environment" => {
                let assignments = words(&value);
                let names = assignments
                    .iter()
                    .filter_map(|word| Some(word.split_once('=')?.0));
                concerns.extend(
                    names
                        .filter(|name| !is_usual(name))
                        .map(|name| format!("Environment sets {name}")),
                );
            }
            "EnvironmentFile" if !value.is_empty() => {
                let file = value.trim_start_matches('-');
                if !ENVIRONMENT_FILES.contains(&file) {
                    concerns.push(format!("EnvironmentFile is {file}"));
                }
            }
            "RootDirectory" | "RootImage" | "BindPaths" | "BindReadOnlyPaths" | "PassEnvironment"
                if !value.is_empty() =>
            {
                concerns.push(format!("{key} is given"));
            }
            _ => {}
        }
    }
    concerns
}

/// The same of an environment file (`NAME=VALUE` lines).
#[must_use]
pub fn concerns_of_environment(text: &str) -> Vec<String> {
    logical_lines(text)
        .iter()
        .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .filter(|name| !is_usual(name))
        .map(|name| format!("it sets {name}"))
        .collect()
}

/// Where packages of Kubernetes take the kubelet's environment from (kubernetes/release, 10-kubeadm.conf of deb and rpm).
pub const ENVIRONMENT_FILES: [&str; 3] = [
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
];

fn is_usual(name: &str) -> bool {
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    name.starts_with("KUBELET_") || proxies.contains(&name.to_ascii_uppercase().as_str())
}

fn of_program(value: &str) -> Option<String> {
    // Empty, it takes back what was before.
    if value.is_empty() {
        return None;
    }
    let program = program(value);
    let is_kubelet = program.starts_with('/') && program.rsplit('/').next() == Some("kubelet");
    (!is_kubelet).then(|| format!("ExecStart runs {program}"))
}

/// The program of a command, without systemd's prefixes.
fn program(value: &str) -> String {
    let words = words(value);
    let first = words.first().map_or("", String::as_str);
    first
        .trim_start_matches(['@', '-', ':', '+', '!', '|'])
        .to_owned()
}

/// The assignments of the section `[Service]`.
fn service_lines(text: &str) -> Vec<(String, String)> {
    let mut in_service = false;
    let mut lines = Vec::new();
    for line in logical_lines(text) {
        if line.starts_with('[') {
            in_service = line == "[Service]";
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_service) {
            lines.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    lines
}

/// The lines without comments; one that ends with a backslash goes on in the next, and comments between are left out.
fn logical_lines(text: &str) -> Vec<String> {
    let (mut lines, mut open) = (Vec::new(), String::new());
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && open.is_empty()) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(start) => {
                open.push_str(start);
                open.push(' ');
            }
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}

/// The words of a value; quotes hold one together.
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, false);
    for letter in value.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                is_open = true;
            }
            (Some(closing), letter) if closing == letter => quote = None,
            (None, letter) if letter.is_whitespace() => {
                if is_open {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            (_, letter) => {
                word.push(letter);
                is_open = true;
            }
        }
    }
    if is_open {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROP_IN: &str = "# Note: This dropin only works with kubeadm and kubelet v1.11+\n[Service]\n\
        Environment=\"KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf\"\n\
        EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\n\
        ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_EXTRA_ARGS\n";

    #[test]
    fn kubeadms_own_unit_and_drop_in_are_ordinary() {
        assert_eq!(concerns_of_unit(DROP_IN), Vec::<String>::new());
        let unit = "[Unit]\nDescription=kubelet\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n[Install]\nWantedBy=multi-user.target\n";
        assert_eq!(concerns_of_unit(unit), Vec::<String>::new());
        let proxies = "[Service]\nEnvironment=\"HTTPS_PROXY=http://u:secret@x\" no_proxy=10.0.0.0/8\n";
        assert_eq!(concerns_of_unit(proxies), Vec::<String>::new());
        assert_eq!(
            concerns_of_environment("KUBELET_KUBEADM_ARGS=\"--node-ip=1\"\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_was_added_is_told_without_its_value() {
        for (line, told) in [
            ("ExecStart=/tmp/kubelet.sh", "ExecStart runs /tmp/kubelet.sh"),
            ("ExecStart=kubelet --v=2", "ExecStart runs kubelet"),
            (
                "ExecStart=/bin/sh -c \"exec /usr/bin/kubelet\"",
                "ExecStart runs /bin/sh",
            ),
            ("ExecStartPre=-+/opt/x secret", "ExecStartPre runs /opt/x"),
            ("Environment=LD_PRELOAD=/secret.so", "Environment sets LD_PRELOAD"),
            (
                "Environment=KUBELET_A=1 'GODEBUG=secret 1'",
                "Environment sets GODEBUG",
            ),
            ("EnvironmentFile=/tmp/e", "EnvironmentFile is /tmp/e"),
            ("BindPaths=/secret:/usr/bin", "BindPaths is given"),
            ("Exec\\\nStart=/x", "Exec Start"),
        ] {
            let concerns = concerns_of_unit(&format!("[Service]\n{line}\n"));
            let told = if told == "Exec Start" {
                Vec::new()
            } else {
                vec![told.to_owned()]
            };
            assert_eq!(concerns, told, "{line}");
        }
        let continued = "[Service]\nEnvironment=A=secret \\\n# a comment\nB=secret\n";
        assert_eq!(
            concerns_of_unit(continued),
            ["Environment sets A", "Environment sets B"]
        );
        assert_eq!(
            concerns_of_environment("# x\nLD_PRELOAD=/secret.so\n"),
            ["it sets LD_PRELOAD"]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            let _ = (concerns_of_unit(&text), concerns_of_environment(&text));
        }
    }
}
