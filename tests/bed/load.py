#!/usr/bin/env python3
"""The load of the scale tests: many objects, a paced writer, raw values of etcd, and the memory of a process.

It runs in the network of a node, and finds the node's files below its root file system:

    nsenter --net --target $(tests/bed/bed pid) python3 tests/bed/load.py --root $(tests/bed/bed root) COMMAND

    load.py fill PREFIX COUNT BYTES [--widgets]      creates PREFIX0, PREFIX1, ...
    load.py remove PREFIX FROM TO                    deletes secrets
    load.py write RATE [--until FILE | --seconds N] --log FILE [--change PREFIX COUNT BYTES]
    load.py compare                                  compares every object with what the API confirmed last
    load.py keep FILE PREFIX                         keeps secrets as etcd stores them
    load.py put FILE [COUNT]                         puts them back into etcd, past the API server: then they are under the key of then
    load.py sizes --until FILE --log FILE               the size of etcd's database, twice a second
    load.py watch [--until WORDS] FILE -- COMMAND... runs a command; notes its lines with their times, its exit code, and what Holdfast used

What the API confirmed is noted in /root/confirmed of the node. Needs Python 3, and peer.py beside it.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import queue
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from peer import Access

CONNECTIONS = 8
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
SECRETS = "/api/v1/namespaces/default/secrets"
WIDGETS = "/apis/example.org/v1/namespaces/default/widgets"
ETCD_SECRETS = "/registry/secrets/default/"
PKI = "etc/kubernetes/pki"


class Root:
    """The root file system of the node."""

    folder = Path("/")


def confirmed() -> Path:
    return Root.folder / "root/confirmed"


def access() -> Access:
    return Access(str(Root.folder / "etc/kubernetes/admin.conf"), None)


def content(name: str, version: int, size: int) -> str:
    """What an object of that name holds at that version: the base64 of so many bytes."""
    return base64.b64encode(random.Random(f"{name} {version}").randbytes(size)).decode()


def body(kind: str, name: str, version: int, size: int) -> bytes:
    value = content(name, version, size)
    if kind == "widgets":
        what = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"a": value}}
    else:
        what = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": value}}
    return json.dumps(what).encode()


def in_parallel(jobs: list, work) -> None:  # noqa: ANN001
    """Does all jobs, each thread with a connection of its own; the first failure ends it all."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    failures: list[BaseException] = []

    def one() -> None:
        try:
            with_connection = work()
            while not failures:
                with_connection(waiting.get_nowait())
        except queue.Empty:
            pass
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=one) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def asked(connection: http.client.HTTPSConnection, method: str, path: str, sent: bytes | None, headers: dict) -> tuple[int, bytes]:
    connection.request(method, path, sent, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def must(connection: http.client.HTTPSConnection, method: str, path: str, sent: bytes | None = None, headers: dict = JSON) -> bytes:
    code, answer = asked(connection, method, path, sent, headers)
    if not 200 <= code < 300:
        raise RuntimeError(f"{method} {path}: {code} {answer[:300]!r}")
    return answer


def fill(arguments: argparse.Namespace) -> None:
    opened = access()
    kind, path = ("widgets", WIDGETS) if arguments.widgets else ("secrets", SECRETS)

    def work():  # noqa: ANN202
        connection = opened.connect()

        def create(number: int) -> None:
            must(connection, "POST", path, body(kind, f"{arguments.prefix}{number}", 0, arguments.bytes))

        return create

    in_parallel(list(range(arguments.count)), work)
    with confirmed().open("a") as notes:
        notes.writelines(f"{kind}/{arguments.prefix}{number} 0 {arguments.bytes}\n" for number in range(arguments.count))


def remove(arguments: argparse.Namespace) -> None:
    opened = access()

    def work():  # noqa: ANN202
        connection = opened.connect()
        return lambda number: must(connection, "DELETE", f"{SECRETS}/{arguments.prefix}{number}")

    numbers = range(arguments.first, arguments.end)
    in_parallel(list(numbers), work)
    with confirmed().open("a") as notes:
        notes.writelines(f"secrets/{arguments.prefix}{number} gone\n" for number in numbers)


class Writer:
    """Creates, changes and deletes secrets of its own, and changes some of others, one request at a time."""

    def __init__(self, change: tuple[str, int, int] | None) -> None:
        self.connection = access().connect()
        self.change = change
        self.random = random.Random(7)
        self.notes = confirmed().open("a")
        self.version = 0
        self.failures: list[str] = []

    def write(self) -> None:
        """One write. Its outcome is noted once it is confirmed."""
        step, number = self.version % 4, self.version // 4 % 20
        name, method, path, size = f"x{number}", "POST", SECRETS, 1024
        sent, headers = body("secrets", name, self.version, size), JSON
        if step == 2 and self.change:
            prefix, count, size = self.change
            name = f"{prefix}{self.random.randrange(count)}"
            method, path, headers = "PATCH", f"{SECRETS}/{name}", MERGE
            sent = json.dumps({"data": {"a": content(name, self.version, size)}}).encode()
        elif step in (1, 2):
            method, path = "PUT", f"{SECRETS}/{name}"
        elif step == 3:
            method, path, sent = "DELETE", f"{SECRETS}/{name}", None
        try:
            code, answer = asked(self.connection, method, path, sent, headers)
            if not 200 <= code < 300:
                raise RuntimeError(f"{code} {answer[:300]!r}")
        except (OSError, http.client.HTTPException, RuntimeError) as failure:
            self.failures.append(f"{method} {path}: {failure!r}")
            self.notes.write(f"secrets/{name} unsure\n")
            self.connection.close()
        else:
            self.notes.write(f"secrets/{name} gone\n" if step == 3 else f"secrets/{name} {self.version} {size}\n")
        self.version += 1


def write(arguments: argparse.Namespace) -> None:
    change = arguments.change
    writer = Writer((change[0], int(change[1]), int(change[2])) if change else None)
    begun = time.monotonic()
    latencies = []
    # Whole turns only, so that nothing of its own is left.
    while writer.version % 80 or not (
        Path(arguments.until).exists() if arguments.until else time.monotonic() - begun >= arguments.seconds
    ):
        due = begun + writer.version / arguments.rate
        time.sleep(max(0.0, due - time.monotonic()))
        # A late answer delays the ones behind it, which waited too.
        writer.write()
        latencies.append((due, time.monotonic() - due))
    writer.notes.close()
    result = {"writes": len(latencies), "failures": writer.failures, "latencies": latencies}
    Path(arguments.log).write_text(json.dumps(result))


def stored(opened: Access, path: str) -> dict[str, dict]:
    """All objects of a path by name, as the API gives them."""
    connection, found, more = opened.connect(), {}, ""
    while True:
        page = json.loads(must(connection, "GET", f"{path}?limit=200" + (f"&continue={more}" if more else "")))
        found.update((item["metadata"]["name"], item) for item in page["items"])
        more = page["metadata"].get("continue", "")
        if not more:
            return found


def compare(_: argparse.Namespace) -> None:
    opened = access()
    last: dict[str, list[str]] = {}
    for line in confirmed().read_text().splitlines():
        name, *words = line.split()
        last[name] = words
    found = {f"secrets/{name}": item["data"]["a"] for name, item in stored(opened, SECRETS).items()}
    if any(name.startswith("widgets/") for name in last):
        found |= {f"widgets/{name}": item["spec"]["a"] for name, item in stored(opened, WIDGETS).items()}
    there = {name: words for name, words in last.items() if words[0] not in ("gone", "unsure")}
    unsure = {name for name, words in last.items() if words[0] == "unsure"}
    wrong = [f"{name}: not there" for name in there if name not in found]
    for name, value in found.items():
        if name in unsure:
            continue
        if name not in there:
            wrong.append(f"{name}: nobody made it, or it was deleted")
        elif value != content(name.split("/")[1], int(there[name][0]), int(there[name][1])):
            wrong.append(f"{name}: not as the API confirmed it last")
    print(json.dumps({"compared": len(there), "unsure": len(unsure), "wrong": wrong[:20], "wrong_in_all": len(wrong)}))


def etcd() -> http.client.HTTPSConnection:
    """A connection to etcd's own JSON gateway, with the API server's certificate."""
    pki = Root.folder / PKI
    context = ssl.create_default_context(cafile=str(pki / "etcd/ca.crt"))
    context.load_cert_chain(str(pki / "apiserver-etcd-client.crt"), str(pki / "apiserver-etcd-client.key"))
    return http.client.HTTPSConnection("127.0.0.1", 2379, context=context, timeout=60)


def question(connection: http.client.HTTPSConnection, path: str, what: dict) -> dict:
    return json.loads(must(connection, "POST", path, json.dumps(what).encode()))


def coded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def keep(arguments: argparse.Namespace) -> None:
    connection = etcd()
    start = f"{ETCD_SECRETS}{arguments.prefix}".encode()
    end = start[:-1] + bytes([start[-1] + 1])
    count = 0
    with open(arguments.file, "w", encoding="ascii") as file:
        while True:
            page = question(connection, "/v3/kv/range", {"key": coded(start), "range_end": coded(end), "limit": 20})
            for pair in page.get("kvs", []):
                file.write(f"{pair['key']} {pair['value']}\n")
                start = base64.b64decode(pair["key"]) + b"\0"
                count += 1
            if not page.get("more"):
                break
    print(count)


def put(arguments: argparse.Namespace) -> None:
    def work():  # noqa: ANN202
        connection = etcd()

        def one(line: str) -> None:
            key, value = line.split()
            question(connection, "/v3/kv/put", {"key": key, "value": value})

        return one

    lines = Path(arguments.file).read_text(encoding="ascii").splitlines()[: arguments.count]
    in_parallel(lines, work)
    # They are again what was confirmed of them first, whatever a writer has made of them since.
    first: dict[str, str] = {}
    for note in confirmed().read_text().splitlines():
        name, words = note.split(maxsplit=1)
        first.setdefault(name, words)
    names = ("secrets/" + base64.b64decode(line.split()[0]).decode().rsplit("/", 1)[1] for line in lines)
    with confirmed().open("a") as notes:
        notes.writelines(f"{name} {first[name]}\n" for name in names if name in first)


def sizes(arguments: argparse.Namespace) -> None:
    connection, seen = etcd(), []
    begun = time.monotonic()
    while not Path(arguments.until).exists():
        status = question(connection, "/v3/maintenance/status", {})
        seen.append((time.monotonic() - begun, int(status["dbSize"]), int(status["dbSizeInUse"])))
        time.sleep(0.5)
    Path(arguments.log).write_text(json.dumps(seen))


def descendant(pid: int, name: str) -> int | None:
    """The process of that name that this one, or one that it started, has started."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == name:
            return int(child)
        found = descendant(int(child), name)
        if found is not None:
            return found
    return None


def watch(arguments: argparse.Namespace) -> None:
    command = [word for word in arguments.words if word != "--"]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    peak, cpu = 0, 0.0

    def measure() -> None:
        nonlocal peak, cpu
        while process.poll() is None:
            time.sleep(0.05)
            try:
                holdfast = descendant(process.pid, "holdfast")
                if holdfast is None:
                    continue
                status = Path(f"/proc/{holdfast}/status").read_text()
                times = Path(f"/proc/{holdfast}/stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            peak = max([peak] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")])
            cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    measuring = threading.Thread(target=measure)
    measuring.start()
    lines = []
    for line in process.stdout:
        lines.append((time.monotonic(), line.rstrip("\n")))
        holdfast = descendant(process.pid, "holdfast") if arguments.until and arguments.until in line else None
        if holdfast is not None:
            os.kill(holdfast, signal.SIGTERM)
    code = process.wait()
    measuring.join()
    result = {"code": code, "started": started, "ended": time.monotonic(), "peak_kib": peak, "cpu_seconds": cpu, "lines": lines}
    Path(arguments.file).write_text(json.dumps(result))


def main() -> int:
    parser = argparse.ArgumentParser(description="The load of the scale tests.")
    parser.add_argument("--root", type=Path, required=True, help="the node's root file system")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(run, *words: str) -> argparse.ArgumentParser:  # noqa: ANN001
        command = commands.add_parser(run.__name__)
        for word in words:
            command.add_argument(word)
        command.set_defaults(run=run)
        return command

    command = add(fill, "prefix")
    command.add_argument("count", type=int)
    command.add_argument("bytes", type=int)
    command.add_argument("--widgets", action="store_true")
    command = add(remove, "prefix")
    command.add_argument("first", type=int)
    command.add_argument("end", type=int)
    command = add(write)
    command.add_argument("rate", type=float)
    command.add_argument("--until")
    command.add_argument("--seconds", type=float, default=30.0)
    command.add_argument("--change", nargs=3, metavar=("PREFIX", "COUNT", "BYTES"))
    command.add_argument("--log", required=True)
    add(compare)
    add(keep, "file", "prefix")
    add(put, "file").add_argument("count", type=int, nargs="?")
    command = add(sizes)
    command.add_argument("--until", required=True)
    command.add_argument("--log", required=True)
    command = add(watch, "file")
    command.add_argument("--until", help="Holdfast is asked to end when it has said that")
    command.add_argument("words", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    Root.folder = arguments.root
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
