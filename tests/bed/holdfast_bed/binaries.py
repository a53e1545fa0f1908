"""Kubernetes and etcd, built from their Go modules (the module proxy is the only source needed)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from .common import CACHE, BedError, cached, run

ETCD_VERSION = "v3.6.16"
COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "kubectl")

PAUSE = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
"""


def _environment() -> dict[str, str]:
    # A dynamic binary fails in an empty image with "no such file or directory".
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}


def _go_mod_of(version: str, log: Path) -> str:
    """The module file of that version of Kubernetes."""
    answer = subprocess.run(
        ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{version}"],
        capture_output=True, text=True, cwd=log.parent, env=_environment(), stdin=subprocess.DEVNULL,
    )
    try:
        return Path(json.loads(answer.stdout)["GoMod"]).read_text(encoding="utf-8")
    except (KeyError, ValueError) as error:
        raise BedError(f"Kubernetes {version} cannot be had as a Go module: {answer.stderr or answer.stdout}") from error


def _kubernetes_module(version: str, upstream: str) -> str:
    """A module that requires Kubernetes and names its staging modules, which are v0.0.0 with local replaces."""
    staging = re.findall(r"^\s*(k8s\.io/\S+) => \./staging", upstream, re.MULTILINE)
    go_version = re.search(r"^go (\S+)", upstream, re.MULTILINE)
    if not staging or go_version is None:
        raise BedError(f"the module file of Kubernetes {version} is not of the form that the bed knows")
    replaces = "\n".join(f"\t{module} => {module} v0.{version.removeprefix('v1.')}" for module in staging)
    tools = "\n".join(f"\tk8s.io/kubernetes/cmd/{command}" for command in COMMANDS)
    return (
        f"module holdfast.test/bed\n\ngo {go_version[1]}\n\nrequire k8s.io/kubernetes {version}\n\n"
        f"replace (\n{replaces}\n)\n\ntool (\n{tools}\n)\n"
    )


def kubernetes(version: str, commands: tuple[str, ...] = COMMANDS) -> Path:
    """The folder with the binaries of that version."""

    def make(target: Path) -> None:
        log = CACHE / f"kubernetes-{version}.log"
        module = target / "module"
        module.mkdir()
        (module / "go.mod").write_text(_kubernetes_module(version, _go_mod_of(version, log)))
        minor = version.split(".")[1]
        package = "k8s.io/component-base/version"
        # kubeadm compares versions and names images by this stamp.
        stamp = f"-s -w -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
        run(["go", "mod", "tidy", "-e"], log=log, cwd=module, env=_environment())
        wanted = [f"k8s.io/kubernetes/cmd/{command}" for command in commands]
        run(["go", "build", "-ldflags", stamp, "-o", f"{target}/", *wanted], log=log, cwd=module, env=_environment())

    return cached(f"kubernetes-{version}", [version, *commands, 1], make)


def etcd() -> Path:
    """The folder with etcd, etcdctl and etcdutl; in a module of its own, since its dependencies clash."""

    def make(target: Path) -> None:
        log = CACHE / "etcd.log"
        module = target / "module"
        module.mkdir()
        packages = [f"go.etcd.io/etcd/{name}/v3" for name in ("server", "etcdctl", "etcdutl")]
        run(["go", "mod", "init", "holdfast.test/bed-etcd"], log=log, cwd=module, env=_environment())
        run(["go", "get", *(f"{package}@{ETCD_VERSION}" for package in packages)], log=log, cwd=module, env=_environment())
        run(["go", "build", "-ldflags", "-s -w", "-o", f"{target}/", *packages], log=log, cwd=module, env=_environment())
        (target / "server").rename(target / "etcd")

    return cached("etcd", [ETCD_VERSION, 1], make)


def pause() -> Path:
    """The folder with the pause binary: it waits for SIGTERM and holds a pod's namespaces."""

    def make(target: Path) -> None:
        (target / "main.go").write_text(PAUSE)
        run(["go", "build", "-ldflags", "-s -w", "-o", target / "pause", target / "main.go"],
            log=CACHE / "pause.log", env=_environment())

    return cached("pause", [PAUSE], make)
