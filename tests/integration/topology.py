"""Several embedded servers that belong together: a master with replicas and sentinels, or a cluster.

For tests and for trying settings out; each starts empty. Calls block until what they ask for is done.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from simulator.server import EmbeddedServer, ServerError, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_HOST = "127.0.0.1"
_SLOTS = 16384
_WAIT_S = 20.0
_POLL_S = 0.02
_PROMPT = {"repl-diskless-sync-delay": "0"}
"""Replication starts at once, not after some seconds in which more replicas might connect."""


@dataclass
class Replicated:
    """A master, a replica, and sentinels that agree on a failover by majority."""

    master: EmbeddedServer
    replica: EmbeddedServer
    sentinels: list[EmbeddedServer]
    name: str = "mymaster"

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"{_HOST}:{sentinel.port}" for sentinel in self.sentinels)

    def fail_over(self) -> None:
        """Let the sentinels promote the replica, as for maintenance."""
        command(self.sentinels[0], "SENTINEL", "FAILOVER", self.name)

    def promoted(self) -> bool:
        try:
            return info(self.replica)["role"] == "master"
        except redis.ConnectionError:
            # The server disconnects its clients when its role changes.
            return False


@contextmanager
def replicated(
    sentinels: int = 3, options: Mapping[str, str] | None = None, sentinel_password: str = ""
) -> Iterator[Replicated]:
    """Start it all; `options` hold for master and replica."""
    own = dict(options or {})
    password = own.get("requirepass", "")
    if password:
        own["masterauth"] = password
    with _servers() as start:
        master = start(own)
        replica = start(own | {"replicaof": f"{_HOST} {master.port}"})
        wait(lambda: info(replica)["master_link_status"] == "up", "the replica is in sync")
        found = Replicated(master, replica, [])
        settings = {
            "monitor": f"{_HOST} {master.port} {sentinels // 2 + 1}",
            "down-after-milliseconds": "500",
            "failover-timeout": "2000",
            **({"auth-pass": password} if password else {}),
        }
        lines = [f"sentinel {key} {found.name} {value}" for key, value in settings.items()]
        own = {"requirepass": sentinel_password} if sentinel_password else {}
        if sentinel_password:
            lines += [f"requirepass {sentinel_password}", f"sentinel sentinel-pass {sentinel_password}"]
        found.sentinels = [start(own, lines) for _ in range(sentinels)]
        for sentinel in found.sentinels:
            wait(partial(_knows_all, found, sentinel), "the sentinels know each other")
        yield found


def _knows_all(replicated: Replicated, sentinel: EmbeddedServer) -> bool:
    flat = command(sentinel, "SENTINEL", "MASTER", replicated.name)
    facts = dict(zip(flat[::2], flat[1::2], strict=False))
    return (facts["num-slaves"], facts["num-other-sentinels"]) == ("1", str(len(replicated.sentinels) - 1))


@dataclass
class ClusterServers:
    """Masters with equal shares of the slots, and replicas, one of which replaces a master that dies in seconds."""

    masters: list[EmbeddedServer]
    replicas: list[EmbeddedServer]

    @property
    def nodes(self) -> list[EmbeddedServer]:
        return [*self.masters, *self.replicas]

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"{_HOST}:{node.port}" for node in self.masters)

    def id(self, node: EmbeddedServer) -> str:
        return str(command(node, "CLUSTER", "MYID"))

    def owner(self, key: str) -> EmbeddedServer:
        """The master that has the key's slot, as the first living master sees it."""
        seen = next(node for node in self.nodes if node.running)
        slot = command(seen, "CLUSTER", "KEYSLOT", key)
        ports = [owner[1] for first, last, owner, *_ in command(seen, "CLUSTER", "SLOTS") if first <= slot <= last]
        return next(node for node in self.nodes if [node.port] == ports)

    def move_slot(self, key: str, target: EmbeddedServer) -> None:
        """Give the key's slot with all that is in it to another master, one step after the other."""
        source = self.owner(key)
        slot = command(source, "CLUSTER", "KEYSLOT", key)
        command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(target))
        while keys := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            command(source, "MIGRATE", _HOST, target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *(other for other in self.masters if other not in (source, target))):
            if node.running:
                command(node, "CLUSTER", "SETSLOT", slot, "NODE", self.id(target))


@contextmanager
def cluster(masters: int = 3, replicas: int = 0, options: Mapping[str, str] | None = None) -> Iterator[ClusterServers]:
    """Start it all. `replicas`: of each master."""
    settings = {
        **(options or {}),
        "cluster-enabled": "yes",
        "cluster-config-file": "nodes.conf",
        "cluster-node-timeout": "1000",
        "cluster-replica-validity-factor": "0",
    }
    with _servers() as start:
        # The bus' default port, 10,000 above the server's, is in the range of the kernel's source ports.
        buses = [free_port() for _ in range(masters * (1 + replicas))]
        nodes = [start(settings | {"cluster-port": str(bus)}) for bus in buses]
        found = ClusterServers(nodes[:masters], nodes[masters:])
        bounds = [_SLOTS * number // masters for number in range(masters + 1)]
        for number, master in enumerate(found.masters):
            command(master, "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for number, (node, bus) in enumerate(zip(nodes, buses, strict=True)):
            command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            command(nodes[0], "CLUSTER", "MEET", _HOST, node.port, bus)
        _wait_each(nodes, lambda node: cluster_info(node)["cluster_known_nodes"] == str(len(nodes)), "the nodes meet")
        for number, replica in enumerate(found.replicas):
            wait(partial(_replicates, replica, found.id(found.masters[number % masters])), "the replicas follow")
        _wait_each(found.replicas, lambda replica: info(replica)["master_link_status"] == "up", "they are in sync")
        _wait_each(nodes, lambda node: cluster_info(node)["cluster_state"] == "ok", "the cluster is ok")
        yield found


def _replicates(replica: EmbeddedServer, master: str) -> bool:
    # The replica refuses until it knows the master.
    try:
        return bool(command(replica, "CLUSTER", "REPLICATE", master))
    except redis.ResponseError:
        return False


@contextmanager
def _servers() -> Iterator[Callable[..., EmbeddedServer]]:
    """Start servers, each with its own directory; stop them and delete everything at the end."""
    with tempfile.TemporaryDirectory(prefix="kline-gateway-") as directory, ExitStack() as running:

        def start(options: Mapping[str, str], sentinel: Sequence[str] = ()) -> EmbeddedServer:
            port = free_port()
            own = Path(directory) / str(port)
            own.mkdir()
            if sentinel:
                (own / "sentinel.conf").write_text("\n".join([f"port {port}", f"bind {_HOST}", *sentinel, ""]))
            server = EmbeddedServer(
                port, options=_PROMPT | dict(options), directory=own, sentinel="sentinel.conf" if sentinel else ""
            )
            return running.enter_context(server)

        yield start


def command(server: EmbeddedServer, *words: str | int) -> Any:
    """Run a command over a new connection; returns the plain answer."""
    with redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=5.0, protocol=2) as link:
        link.response_callbacks.clear()
        return link.execute_command(*words)


def info(server: EmbeddedServer) -> dict[str, str]:
    return _facts(command(server, "INFO", "replication"))


def cluster_info(server: EmbeddedServer) -> dict[str, str]:
    return _facts(command(server, "CLUSTER", "INFO"))


def wait(holds: Callable[[], object], what: str) -> None:
    """Wait until it holds; raises `ServerError` with `what` after a time limit."""
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise ServerError(f"not within {_WAIT_S:g} s: {what}")
        time.sleep(_POLL_S)


def _wait_each(servers: Iterable[EmbeddedServer], holds: Callable[[EmbeddedServer], object], what: str) -> None:
    for server in servers:
        wait(partial(holds, server), what)


def _facts(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
