//! The lock: one process at a time changes the node or the journal.
//!
//! It is a lock on an open file (`flock`), so it ends with the process however that ends. Nobody but root can open the file,
//! so nobody else can keep Holdfast from its work by holding it.
#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: it opens the lock file and waits a moment for another holder"
)]

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// How often another holder is looked at again.
const RETRY: Duration = Duration::from_millis(50);

/// The held lock. Every function that changes the node or the journal takes it, so that forgetting it does not compile.
#[derive(Debug)]
pub struct Held {
    _file: Flock<File>,
}

/// A lock that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another Holdfast is changing this node (process {})", holder.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Busy {
        /// Its PID as it wrote it into the lock file.
        holder: Option<i32>,
    },
    /// A system call failed.
    #[error("cannot lock {path}: {cause}")]
    Failed {
        /// The lock file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl Held {
    /// Takes the lock in that folder (made with mode 0700 if it is not there), waiting at most that long. It is given back when the value is dropped or the
    /// process ends.
    ///
    /// # Errors
    /// When another process holds it for all that time, or the system refuses.
    pub fn take(folder: &Path, patience: Duration) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let failed = |cause: io::Error| LockError::Failed {
            path: path.display().to_string(),
            cause,
        };
        make_folder(folder).map_err(failed)?;
        let begun = Instant::now();
        loop {
            let file = open(&path).map_err(failed)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut file) => {
                    if is_still(&file, &path).map_err(failed)? {
                        sign(&mut file).map_err(failed)?;
                        return Ok(Self { _file: file });
                    }
                }
                Err((file, Errno::EWOULDBLOCK)) => {
                    if begun.elapsed() >= patience {
                        let holder = holder(file).map_err(failed)?;
                        return Err(LockError::Busy { holder });
                    }
                    std::thread::sleep(RETRY.min(patience));
                }
                Err((_, cause)) => return Err(failed(cause.into())),
            }
        }
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    // In a folder that others can write to, they could have put a lock file of theirs there, and hold it.
    let metadata = std::fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || !is_ours(&metadata) || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "its folder must be a folder of root's that nobody else can write to",
        ));
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_ours(&metadata) {
        return Err(io::Error::other("it is no file of root's"));
    }
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Root's, or with an ordinary user's throw-away tree, that user's.
fn is_ours(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == 0 || metadata.uid() == nix::unistd::geteuid().as_raw()
}

/// False when the file was removed after it was opened: another process may then hold a new one of the same name.
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

fn sign(file: &mut Flock<File>) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(&mut **file, "{}", std::process::id())
}

/// The PID that the holder wrote; `None` in the moment before it has.
fn holder(mut file: File) -> io::Result<Option<i32>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_held_lock_is_busy_and_names_its_holder_until_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("run/holdfast");
        let held = Held::take(&folder, Duration::ZERO).unwrap();
        let begun = Instant::now();
        let busy = Held::take(&folder, Duration::from_millis(120)).unwrap_err();
        assert!(
            matches!(busy, LockError::Busy { holder: Some(pid) } if pid == me()),
            "{busy}"
        );
        assert!(begun.elapsed() >= Duration::from_millis(120));
        drop(held);
        Held::take(&folder, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_that_is_given_back_while_we_wait_is_had() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("holdfast");
        let held = Held::take(&folder, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                drop(held);
            });
            Held::take(&folder, Duration::from_secs(30)).unwrap();
        });
    }

    #[test]
    fn the_folder_and_the_file_are_ours_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("holdfast");
        std::fs::create_dir(&folder).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        let _held = Held::take(&folder, Duration::ZERO).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&folder.join("lock"))), (0o700, 0o600));
        assert_eq!(
            std::fs::read_to_string(folder.join("lock")).unwrap(),
            format!("{}\n", me())
        );
    }

    #[test]
    fn a_folder_that_others_can_write_to_and_a_planted_link_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("holdfast");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        let error = Held::take(&folder, Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot lock {}: its folder must be a folder of root's that nobody else can write to",
                folder.join("lock").display()
            )
        );
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("lock")).unwrap();
        let error = Held::take(&folder, Duration::ZERO).unwrap_err();
        assert!(matches!(error, LockError::Failed { .. }), "{error}");
    }

    #[test]
    fn a_lock_file_that_was_removed_and_made_anew_is_the_one_that_counts() {
        let temp = tempfile::tempdir().unwrap();
        let file = open(&temp.path().join("lock")).unwrap();
        std::fs::remove_file(temp.path().join("lock")).unwrap();
        assert!(!is_still(&file, &temp.path().join("lock")).unwrap());
        open(&temp.path().join("lock")).unwrap();
        assert!(!is_still(&file, &temp.path().join("lock")).unwrap());
    }
}
