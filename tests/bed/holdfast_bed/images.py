"""Container images: docker archives of one layer that holds one static binary."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from .common import cached, run


def names(kubeadm: Path, version: str) -> dict[str, str]:
    """The image of each component by its short name, as kubeadm itself names them."""
    listed = run([kubeadm, "config", "images", "list", "--kubernetes-version", version]).split()
    return {image.rsplit("/", 1)[-1].split(":")[0]: image for image in listed}


def archives(wanted: dict[str, tuple[str, Path]]) -> Path:
    """A folder with one archive for each `image: (binary's name, file)`."""

    def make(target: Path) -> None:
        for image, (binary, file) in wanted.items():
            _archive(target / f"{binary}.tar", image, binary, file)

    # A cache entry's folder name already says what its binaries were made of.
    return cached("images", [(image, binary, file) for image, (binary, file) in wanted.items()], make)


def _archive(target: Path, image: str, binary: str, file: Path) -> None:
    layer = _layer(binary, file)
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin"], "Entrypoint": [f"/usr/local/bin/{binary}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [image], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        for name, content in ((config_name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            _add(archive, name, content, 0o644)


def _layer(binary: str, file: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for folder in ("usr", "usr/local", "usr/local/bin", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            layer.addfile(entry)
        _add(layer, f"usr/local/bin/{binary}", file.read_bytes(), 0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
