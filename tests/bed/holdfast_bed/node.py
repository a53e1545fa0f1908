"""A node: a systemd-nspawn container in a network namespace of its own, and how it is booted, entered and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .common import RUN, STATE, BedError, copy_tree, remove_tree, run, say

GATEWAY = "192.0.2.1"
NETWORK = "hfbed"
BRIDGE = "hfbr0"
# The documentation range: no such host exists anywhere.
ADDRESS = "192.0.2.{}"
BOOT_SECONDS = 90


@dataclass
class Running:
    """A booted node: the PIDs that were started, each with its start time so that no other process is taken for it."""

    nspawn: int
    nspawn_start: int
    init: int
    init_start: int


@dataclass(frozen=True)
class Node:
    """A node by name; its number gives its address."""

    name: str
    number: int = 11

    @property
    def folder(self) -> Path:
        return STATE / "nodes" / self.name

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def state_file(self) -> Path:
        return RUN / f"{self.name}.json"

    @property
    def address(self) -> str:
        return ADDRESS.format(self.number)

    def running(self) -> Running | None:
        """The node's processes, if they still run."""
        try:
            state = Running(**json.loads(self.state_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return state if _start_time(state.init) == state.init_start else None

    def place(self, initialised: Path) -> None:
        """Puts a fresh copy of that file system in place. The node must be down."""
        remove_tree(self.folder)
        self.root.mkdir(parents=True)
        copy_tree(initialised / "root", self.root)

    def boot(self) -> Running:
        """Boots the file system that is in place."""
        if self.running():
            raise BedError(f"node {self.name} is running; end it first: bed down --name {self.name}")
        if not self.root.is_dir():
            raise BedError(f"node {self.name} has no file system; make it with: bed up --name {self.name}")
        _network_up()
        network = self.folder / "network"
        network.write_text(f"NAME={self.name}\nADDRESS={self.address}\nGATEWAY={GATEWAY}\n")
        log = (self.folder / "console.log").open("ab")
        nspawn = subprocess.Popen(
            [
                "nsenter", f"--net=/run/netns/{NETWORK}",
                "systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(self.root), "-b", "--console=pipe",
                "--capability=all", f"--machine={self.name}", f"--network-bridge={BRIDGE}", "--bind=/dev/kmsg",
                f"--bind-ro={network}:/run/bed/network", "--system-call-filter=@default @known", "--resolv-conf=off",
                "--timezone=off", "--link-journal=no",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"},
        )
        return self._await_init(nspawn)

    def _await_init(self, nspawn: subprocess.Popen[bytes]) -> Running:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if nspawn.poll() is not None:
                raise BedError(f"systemd-nspawn ended ({nspawn.returncode}); see {self.folder}/console.log")
            init = _first_child(nspawn.pid)
            if init is not None:
                running = Running(nspawn.pid, _start_time(nspawn.pid) or 0, init, _start_time(init) or 0)
                self.state_file.write_text(json.dumps(asdict(running)))
                if self._is_up():
                    return running
            time.sleep(0.2)
        self.down()
        raise BedError(f"node {self.name} did not boot in {BOOT_SECONDS} s; see {self.folder}/console.log")

    def _is_up(self) -> bool:
        done = subprocess.run(self.enter(["systemctl", "is-system-running"]), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout.strip() in ("running", "degraded")

    def enter(self, command: list[str]) -> list[str]:
        """The command line that runs `command` inside the node."""
        running = self.running()
        if running is None:
            raise BedError(f"node {self.name} is not running; boot it with: bed up --name {self.name}")
        environment = [
            "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
            "KUBECONFIG=/etc/kubernetes/admin.conf",
        ]
        return ["nsenter", "-t", str(running.init), "-m", "-p", "-u", "-i", "-n", "-C", "--", *environment, *command]

    def run(self, command: list[str]) -> str:
        """What a command inside the node prints; its failure is ours."""
        return run(self.enter(command))

    def await_healthy(self, seconds: float) -> None:
        """Waits until the API server is ready and the other three answer for their health."""
        probes = {
            "kube-apiserver": ["kubectl", "--request-timeout=2s", "get", "--raw", "/readyz"],
            "etcd": ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2381"],
            "kube-scheduler": ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/10259"],
            "kube-controller-manager": ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/10257"],
        }
        deadline = time.monotonic() + seconds
        while probes:
            component, probe = next(iter(probes.items()))
            if subprocess.run(self.enter(probe), capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
                del probes[component]
            elif time.monotonic() > deadline:
                raise BedError(f"{component} on node {self.name} is not healthy after {seconds:.0f} s; see `bed exec -- journalctl -u kubelet`")
            else:
                time.sleep(0.3)

    def shut_down(self, seconds: float = 60) -> None:
        """A clean shutdown, as by `systemctl poweroff`."""
        running = self.running()
        if running is not None:
            os.kill(running.init, signal.SIGRTMIN + 4)
            _await_end(running, seconds)
        self.down()

    def down(self) -> None:
        """Ends the node at once, as a power cut does, and removes what it left on the machine."""
        running = self.running()
        if running is not None:
            # Everything in the node lives in its PID namespace, and ends with its init.
            os.kill(running.init, signal.SIGKILL)
            _await_end(running, 20)
        try:
            state = json.loads(self.state_file.read_text())
            if _start_time(state["nspawn"]) == state["nspawn_start"]:
                os.kill(state["nspawn"], signal.SIGKILL)
        except (FileNotFoundError, ValueError, KeyError, ProcessLookupError):
            pass
        _unmount_below(self.folder)
        self.state_file.unlink(missing_ok=True)
        if not any(RUN.glob("*.json")):
            _network_down()


def known() -> list[Node]:
    """The nodes that have a file system or are running."""
    names = {path.stem for path in RUN.glob("*.json")}
    nodes = STATE / "nodes"
    names |= {path.name for path in nodes.iterdir()} if nodes.is_dir() else set()
    return [Node(name) for name in sorted(names)]


def _start_time(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _first_child(pid: int) -> int | None:
    """nspawn's child that is process 1 of a PID namespace."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) > 1 and numbers[-1] == "1" and "\nName:\tsystemd\n" in f"\n{status}":
                return int(child)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def _await_end(running: Running, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for pid, start in ((running.init, running.init_start), (running.nspawn, running.nspawn_start)):
        while _start_time(pid) == start and not _is_zombie(pid):
            if time.monotonic() > deadline:
                raise BedError(f"process {pid} of the node did not end in {seconds:.0f} s")
            time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _unmount_below(folder: Path) -> None:
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        targets = [line.split()[1] for line in mounts]
    for target in sorted((t for t in targets if t.startswith(f"{folder}/")), reverse=True):
        run(["umount", "-l", target])


def _network_up() -> None:
    """The network namespace of the bed, with its bridge: the machine's own network is not touched."""
    if Path(f"/run/netns/{NETWORK}").exists():
        return
    run(["ip", "netns", "add", NETWORK])
    run(["ip", "-n", NETWORK, "link", "set", "lo", "up"])
    run(["ip", "-n", NETWORK, "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "-n", NETWORK, "address", "add", f"{GATEWAY}/24", "dev", BRIDGE])
    run(["ip", "-n", NETWORK, "link", "set", BRIDGE, "up"])


def _network_down() -> None:
    if Path(f"/run/netns/{NETWORK}").exists():
        run(["ip", "netns", "delete", NETWORK])


def report(node: Node, begun: float, what: str) -> None:
    """Says what was done and how long it took."""
    say(f"node {node.name} {what} in {time.monotonic() - begun:.1f} s")
