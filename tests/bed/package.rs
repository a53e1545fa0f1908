//! The Debian package of the program that is tested, as `packaging/build --binary` makes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");
/// What is packed beside the program, or says how.
const SOURCES: [&str; 8] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "config",
    "packaging",
    "systemd",
];

/// Where it is. It is made anew when something that goes into it is newer, since to pack takes half a minute and each test wants it.
pub fn deb() -> PathBuf {
    let program = Path::new(PROGRAM);
    let profile = program.parent().and_then(Path::file_name).expect("a profile");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("package")
        .join(profile);
    std::fs::create_dir_all(&folder).expect("a folder");
    // The packer has one working folder, and tests run beside each other.
    let lock = File::create(folder.parent().expect("a parent").join("lock")).expect("a lock");
    lock.lock().expect("it is locked");
    let deb = folder.join("holdfast.deb");
    let sources = SOURCES.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    let newest = sources
        .iter()
        .map(|path| newest(path))
        .chain([changed(program)])
        .max();
    if newest >= deb.exists().then(|| changed(&deb)) {
        pack(program, &folder, &deb);
    }
    deb
}

fn pack(program: &Path, folder: &Path, deb: &Path) {
    // Without what a debugger would need, as a build for a release leaves it.
    let stripped = folder.join("holdfast");
    must(Command::new("strip").arg("-o").arg(&stripped).arg(program));
    let made = folder.join("made");
    must(
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/build"))
            .arg("--binary")
            .arg(&stripped)
            .arg("--out")
            .arg(&made),
    );
    let mut entries = std::fs::read_dir(&made).expect("a folder").flatten();
    let found = entries
        .find(|entry| entry.path().extension().is_some_and(|end| end == "deb"))
        .expect("a Debian package");
    std::fs::rename(found.path(), deb).expect("it is in place");
}

fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn changed(path: &Path) -> SystemTime {
    let facts = std::fs::metadata(path).expect("it is there");
    facts.modified().expect("the file system keeps times")
}

/// When the newest file of a tree was changed.
fn newest(path: &Path) -> SystemTime {
    let below = path
        .is_dir()
        .then(|| std::fs::read_dir(path).expect("a folder").flatten());
    let below = below.into_iter().flatten().map(|entry| newest(&entry.path()));
    below.chain([changed(path)]).max().expect("at least its own")
}
