"""The file systems: a Debian base, a node template with everything installed, and one that kubeadm has initialised."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import binaries, images
from .common import CACHE, BedError, cached, copy_tree, run, say

FILES = Path(__file__).resolve().parent.parent / "files"
SUITE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps,containerd,runc,iptables,conntrack,socat,ethtool,kmod,"
    "mount,util-linux,strace,attr,acl,e2fsprogs,python3-minimal,openssl"
)
HOST_PACKAGES = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "nsenter": "util-linux"}
# The folders that the kubelet package owns, as its deb leaves them: 0775.
PACKAGE_FOLDERS = ("etc/kubernetes", "etc/kubernetes/manifests", "var/lib/kubelet")


def install_host_packages() -> None:
    """Installs what the bed itself runs, where that is missing."""
    missing = sorted({package for tool, package in HOST_PACKAGES.items() if shutil.which(tool) is None})
    if missing:
        log = CACHE / "apt.log"
        say(f"installing {', '.join(missing)}")
        run(["apt-get", "update", "-q"], log=log)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], log=log)


def base() -> Path:
    """A Debian with systemd, containerd and the tools that tests use."""

    def make(target: Path) -> None:
        run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, target / "root"], log=CACHE / "debootstrap.log")
        shutil.rmtree(target / "root/var/cache/apt", ignore_errors=True)
        shutil.rmtree(target / "root/var/lib/apt/lists", ignore_errors=True)

    return cached("debian", [SUITE, PACKAGES], make)


def template(version: str) -> Path:
    """The base with Kubernetes, its images and its units installed; not yet initialised."""
    kubernetes, etcd, pause, debian = binaries.kubernetes(version), binaries.etcd(), binaries.pause(), base()
    named = images.names(kubernetes / "kubeadm", version)
    wanted = {
        named[component]: (component, kubernetes / component)
        for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    wanted[named["etcd"]] = ("etcd", etcd / "etcd")
    wanted[named["pause"]] = ("pause", pause / "pause")
    archives = images.archives(wanted)
    made_of = [kubernetes, etcd, archives, debian, *(file.read_text() for file in sorted(FILES.iterdir())), CONTAINERD]

    def make(target: Path) -> None:
        root = target / "root"
        root.mkdir()
        copy_tree(debian / "root", root)
        for binary in ("kubelet", "kubeadm", "kubectl"):
            shutil.copy2(kubernetes / binary, root / "usr/bin" / binary)
        for binary in ("etcdctl", "etcdutl"):
            shutil.copy2(etcd / binary, root / "usr/local/bin" / binary)
        shutil.copytree(archives, root / "opt/images")
        _configure(root, named["pause"])

    return cached(f"template-{version}", made_of, make)


CONTAINERD = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE a negative OOM score cannot be set.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def _configure(root: Path, pause: str) -> None:
    _write(root / "etc/containerd/config.toml", CONTAINERD.format(pause=pause))
    _write(root / "etc/hosts", "127.0.0.1 localhost\n")
    _write(root / "etc/resolv.conf", "")
    _write(root / "etc/machine-id", "")
    # Tests read the journal of the boot before the last one too.
    (root / "var/log/journal").mkdir(exist_ok=True)
    _install(root, "bed-prepare", "usr/local/sbin/bed-prepare", 0o755)
    _install(root, "bed-prepare.service", "etc/systemd/system/bed-prepare.service", 0o644)
    _install(root, "kubelet.service", "usr/lib/systemd/system/kubelet.service", 0o644)
    _install(root, "10-kubeadm.conf", "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", 0o644)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit, folder in (("bed-prepare", "/etc"), ("kubelet", "/usr/lib"), ("containerd", "/lib")):
        link = wants / f"{unit}.service"
        if not link.is_symlink():
            link.symlink_to(f"{folder}/systemd/system/{unit}.service")
    for folder in PACKAGE_FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder).chmod(0o775)
    _write(root / "etc/kubernetes/manifests/.kubelet-keep", "")
    # Nothing in a test node waits for a network manager or a login.
    for unit in ("systemd-networkd-wait-online.service", "getty.target", "console-getty.service", "systemd-timesyncd.service",
                 "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"):
        mask = root / "etc/systemd/system" / unit
        if not mask.is_symlink():
            mask.symlink_to("/dev/null")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(text)


def _install(root: Path, name: str, target: str, mode: int) -> None:
    path = root / target
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FILES / name, path)
    path.chmod(mode)


def require_root() -> None:
    """The bed mounts, names namespaces and boots: that takes root."""
    if os.geteuid() != 0:
        raise BedError("the test bed needs root: run it as root, or leave the tests on the bed out")
