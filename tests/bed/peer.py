#!/usr/bin/env python3
"""The peer of the speed measure: plain connections that send the same no-op writes as Holdfast, and nothing else.

    peer.py [--kubeconfig FILE] [--server URL] [--connections 8] [--list] [--names FILE]

Lists all secrets, then sends each a merge patch of `{}` over kept connections, one thread each. Prints how many, in how many
seconds, how many a second, and its greatest memory. `--list` prints the names, NAMESPACE/NAME, and sends nothing; `--names` takes
them from such a file (- is the standard input) instead of listing. Needs Python 3 and nothing else.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import queue
import re
import resource
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from urllib.parse import quote, urlsplit

METADATA = "application/json;as={}g=meta.k8s.io;v=v1"
PATCH_HEADERS = {
    "Accept": METADATA.format("PartialObjectMetadata;"),
    "Content-Type": "application/merge-patch+json",
}


class Access:
    """A kubeconfig as kubeadm writes it: one cluster, one user, everything embedded."""

    def __init__(self, path: str, server: str | None) -> None:
        with open(path, encoding="utf-8") as file:
            text = file.read()

        def value(name: str) -> str:
            found = re.search(rf"^\s*{name}:\s*\"?([^\s\"]+)", text, re.MULTILINE)
            if not found:
                sys.exit(f"{path}: it has no {name}")
            return found.group(1)

        def pem(name: str) -> str:
            return base64.b64decode(value(name)).decode()

        address = urlsplit(server or value("server"))
        self.host, self.port = address.hostname, address.port or 443
        self.context = ssl.create_default_context(cadata=pem("certificate-authority-data"))
        # The library takes the certificate and key from a file only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(pem("client-certificate-data") + pem("client-key-data"))
            file.flush()
            self.context.load_cert_chain(file.name)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=60)


def secrets(access: Access) -> list[str]:
    """The names of all secrets, without their data."""
    connection, names, more = access.connect(), [], ""
    while True:
        path = "/api/v1/secrets?limit=500" + (f"&continue={quote(more, safe='')}" if more else "")
        connection.request("GET", path, headers={"Accept": METADATA.format("PartialObjectMetadataList;")})
        answer = connection.getresponse()
        body = json.load(answer)
        if answer.status != 200:
            sys.exit(f"the secrets cannot be listed: {answer.status} {body.get('reason', '')}")
        names += [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in body["items"]]
        more = body["metadata"].get("continue", "")
        if not more:
            return names


def send(access: Access, names: queue.SimpleQueue, codes: Counter, lock: threading.Lock) -> None:
    """One connection's work."""
    connection, own = access.connect(), Counter()
    while True:
        try:
            namespace, name = names.get_nowait().split("/", 1)
        except queue.Empty:
            break
        connection.request("PATCH", f"/api/v1/namespaces/{quote(namespace)}/secrets/{quote(name)}", b"{}", PATCH_HEADERS)
        answer = connection.getresponse()
        answer.read()
        own[answer.status] += 1
    with lock:
        codes.update(own)


def main() -> int:
    parser = argparse.ArgumentParser(description="No-op writes to all secrets over a few plain connections.")
    parser.add_argument("--kubeconfig", default="/etc/kubernetes/admin.conf")
    parser.add_argument("--server", help="another address than the kubeconfig's")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--list", action="store_true", help="print the names and send nothing")
    parser.add_argument("--names", help="a file of names instead of the list")
    arguments = parser.parse_args()

    access = Access(arguments.kubeconfig, arguments.server)
    if arguments.names:
        with sys.stdin if arguments.names == "-" else open(arguments.names, encoding="utf-8") as file:
            found = file.read().split()
    else:
        found = secrets(access)
    if arguments.list:
        print("\n".join(found))
        return 0
    names: queue.SimpleQueue = queue.SimpleQueue()
    for name in found:
        names.put(name)
    codes: Counter = Counter()
    lock = threading.Lock()
    threads = [threading.Thread(target=send, args=(access, names, codes, lock)) for _ in range(arguments.connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    done = sum(codes.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
    print(f"{done} objects, {seconds:.2f} s, {done / seconds:.1f}/s, {peak} kB ({answers})")
    return 0 if done == len(found) and set(codes) <= {200} else 1


if __name__ == "__main__":
    sys.exit(main())
