"""The command line of the bed."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import rootfs
from .common import STATE, BedError, cached, lock, remove_tree, say
from .node import Node, known, report

VERSION = "v1.35.4"
HEALTHY_SECONDS = 150

KUBEADM = """apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: {address}
nodeRegistration:
  name: {name}
  criSocket: unix:///run/containerd/containerd.sock
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# The machine's cgroups are of version 1, and it may swap.
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
# How full the disk of this machine is must not take the images or the pods away from a node that is being tested.
imageGCHighThresholdPercent: 100
evictionHard:
  imagefs.available: "0%"
  nodefs.available: "0%"
  nodefs.inodesFree: "0%"
  memory.available: 50Mi
"""
END_CONTAINERS = """set -e
list() { ctr -n k8s.io "$1" ls -q; }
for task in $(list tasks); do ctr -n k8s.io tasks kill -s SIGTERM "$task" || true; done
for _ in $(seq 50); do ctr -n k8s.io tasks ls | grep -q RUNNING || break; sleep 0.1; done
# One that ends by itself meanwhile cannot be removed, and is gone at the next look.
for _ in $(seq 50); do
    [ -z "$(list tasks)" ] && break
    for task in $(list tasks); do ctr -n k8s.io tasks rm -f "$task" || true; done
    sleep 0.1
done
[ -z "$(list tasks)" ]
for container in $(list containers); do ctr -n k8s.io containers rm "$container"; done
rm -rf /var/log/pods/* /var/log/containers/*
"""
SKIPPED = "addon/kube-proxy,addon/coredns,show-join-command"


def initialised(version: str, name: str) -> Path:
    """The file system of a node that `kubeadm init` has made and that was shut down cleanly."""
    template = rootfs.template(version)

    def make(target: Path) -> None:
        node = Node(name)
        node.down()
        node.place(template)
        try:
            node.boot()
            node.run(["sh", "-c", "for image in /opt/images/*.tar; do ctr -n k8s.io image import $image; done; rm -r /opt/images"])
            config = KUBEADM.format(address=node.address, name=name, version=version)
            (node.root / "root/kubeadm.yaml").write_text(config)
            init = ["kubeadm", "init", "--config=/root/kubeadm.yaml", "--ignore-preflight-errors=all", f"--skip-phases={SKIPPED}"]
            node.run(init)
            node.await_healthy(HEALTHY_SECONDS)
            # Dead sandboxes of a boot before would be waited for and backed off from at every later boot.
            node.run(["systemctl", "stop", "kubelet"])
            node.run(["sh", "-c", END_CONTAINERS])
            node.shut_down()
            (node.root / "root/kubeadm.yaml").unlink()
        finally:
            node.down()
        node.root.rename(target / "root")
        remove_tree(node.folder)

    return cached(f"node-{version}", [template, KUBEADM, SKIPPED, END_CONTAINERS, name], make)


def main(argv: list[str]) -> int:
    """Runs one command; 0 done, 1 failed, 2 wrong usage, else what `exec` ran answered."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "doctor":
            return _doctor()
        rootfs.require_root()
        return arguments.run(arguments)
    except BedError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; `bed down --all` removes what may be left")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bed", description="A genuine kubeadm control-plane node on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run, text: str) -> argparse.ArgumentParser:  # noqa: ANN001
        command = commands.add_parser(name, help=text)
        command.add_argument("--name", default="node1", help="the node (node1)")
        command.add_argument("--version", default=VERSION, help=f"the version of Kubernetes ({VERSION})")
        command.set_defaults(run=run)
        return command

    add("build", _build, "build and cache all that a node needs")
    add("up", _up, "boot a fresh node and wait until it is healthy")
    add("reset", _up, "the same: ends the node if it runs, and boots a fresh one")
    add("boot", _boot, "boot the node's file system as it was left")
    add("cut", _cut, "end the node at once, as a power cut does; its disk stays")
    add("down", _down, "end the node and remove its disk").add_argument("--all", action="store_true", help="every node")
    add("pid", _pid, "print the PID of the node's init")
    add("root", _root, "print the folder of the node's root file system")
    execute = add("exec", _exec, "run a command inside the node, with its input, outputs and exit code")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    commands.add_parser("doctor", help="say whether this machine can run the bed")
    return parser


def _build(arguments: argparse.Namespace) -> int:
    rootfs.install_host_packages()
    with lock("bed"):
        print(initialised(arguments.version, arguments.name))
    return 0


def _up(arguments: argparse.Namespace) -> int:
    rootfs.install_host_packages()
    node = Node(arguments.name)
    with lock("bed"):
        source = initialised(arguments.version, arguments.name)
        begun = time.monotonic()
        node.down()
        node.place(source)
        _boot_healthy(node)
    report(node, begun, "is fresh and healthy")
    return 0


def _boot(arguments: argparse.Namespace) -> int:
    node, begun = Node(arguments.name), time.monotonic()
    with lock("bed"):
        _boot_healthy(node)
    report(node, begun, "is healthy")
    return 0


def _boot_healthy(node: Node) -> None:
    try:
        node.boot()
        node.await_healthy(HEALTHY_SECONDS)
    except BaseException:
        node.down()
        raise


def _cut(arguments: argparse.Namespace) -> int:
    with lock("bed"):
        Node(arguments.name).down()
    return 0


def _down(arguments: argparse.Namespace) -> int:
    with lock("bed"):
        for node in known() if arguments.all else [Node(arguments.name)]:
            node.down()
            remove_tree(node.folder)
        if arguments.all:
            remove_tree(STATE)
    return 0


def _pid(arguments: argparse.Namespace) -> int:
    running = Node(arguments.name).running()
    if running is None:
        raise BedError(f"node {arguments.name} is not running")
    print(running.init)
    return 0


def _root(arguments: argparse.Namespace) -> int:
    print(Node(arguments.name).root)
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise BedError("exec needs a command: bed exec -- COMMAND")
    command = Node(arguments.name).enter(words)
    os.execvp(command[0], command)


def _doctor() -> int:
    """Each line is a reason why not; none means that the bed can run."""
    reasons = []
    if os.geteuid() != 0:
        reasons.append("not root")
    if not Path("/sys/fs/cgroup/memory").is_dir() and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        reasons.append("no cgroups")
    if shutil.which("go") is None:
        reasons.append("no Go toolchain (go), which builds Kubernetes")
    if shutil.which("apt-get") is None and shutil.which("debootstrap") is None:
        reasons.append("neither debootstrap nor apt-get")
    if not reasons and subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True).returncode != 0:
        reasons.append("no mount, network and PID namespaces")
    for reason in reasons:
        print(f"the test bed cannot run here: {reason}")
    return 1 if reasons else 0
