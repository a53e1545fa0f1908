"""Where things are kept, how commands are run, and how a cache entry is made."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("HOLDFAST_BED_CACHE", "/var/cache/holdfast-bed"))
STATE = Path(os.environ.get("HOLDFAST_BED_STATE", "/var/lib/holdfast-bed"))
RUN = Path("/run/holdfast-bed")


class BedError(Exception):
    """A failure that says what failed and what to do."""


def say(text: str) -> None:
    """Progress, for people; standard output belongs to the answers."""
    os.write(2, f"bed: {text}\n".encode())


def run(argv: Sequence[str | Path], log: Path | None = None, **options: object) -> str:
    """Runs a command, and names it, its log or its last words when it fails."""
    words = [str(word) for word in argv]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            done = subprocess.run(words, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        if done.returncode != 0:
            tail = log.read_text(errors="replace").splitlines()[-15:]
            raise BedError(f"{words[0]} failed ({done.returncode}); its log is {log}:\n" + "\n".join(tail))
        return ""
    done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise BedError(f"`{' '.join(words)}` failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One bed command at a time changes what `name` names; others wait."""
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (RUN / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another bed command ({name})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest_of(*parts: object) -> str:
    """A short name for whatever a cache entry was made of."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:12]


def cached(name: str, made_of: Sequence[object], make: Callable[[Path], None]) -> Path:
    """The cache entry of that name and content; made in a temporary folder and renamed when it is complete."""
    entry = CACHE / f"{name}-{digest_of(*made_of)}"
    if entry.is_dir():
        return entry
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = CACHE / f".{entry.name}.partial"
    remove_tree(partial)
    partial.mkdir()
    say(f"making {entry.name} (kept in {CACHE})")
    begun = time.monotonic()
    try:
        make(partial)
    except BaseException:
        remove_tree(partial)
        raise
    partial.rename(entry)
    say(f"made {entry.name} in {time.monotonic() - begun:.0f} s")
    return entry


def remove_tree(path: Path) -> None:
    """Removes a folder of ours, never across a mount point."""
    if not path.exists():
        return
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        inside = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{path}/")]
    if inside:
        raise BedError(f"{path} is not removed: {inside[0]} is still mounted in it; run `bed down --all`")
    shutil.rmtree(path)


def copy_tree(source: Path, target: Path) -> None:
    """A copy with owners, modes, links and attributes."""
    run(["cp", "-a", "--reflink=auto", f"{source}/.", target])
