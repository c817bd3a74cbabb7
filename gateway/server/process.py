"""A gateway as a process: binds addresses, installs signals, runs it. Knows nothing of what a gateway consists of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.config import ConfigError
from gateway.server.descriptors import connections_max, raise_limit
from gateway.server.listening import address_of, bind, check_tls
from gateway.server.worker_group import end_with_supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.config import Config

logger = logging.getLogger(__name__)


class Runnable(Protocol):
    """What a process runs: a gateway."""

    async def run(
        self, sock: socket.socket, on_ready: Callable[[], None], operations_sock: socket.socket | None = None
    ) -> None:
        """Serve on bound sockets until a signal ends it."""

    def reload(self, wanted: Config) -> None:
        """Apply the settings that may change while the process runs."""


async def run_process(
    config: Config,
    make: Callable[[Config], Runnable],
    *,
    on_ready: Callable[[str], None] | None,
    reread: Callable[[], Config] | None,
    ends_with_supervisor: bool,
) -> None:
    """Make a gateway and run it until SIGINT or SIGTERM; `on_ready` gets the page's address once it answers.

    With `reread` a SIGHUP makes it read the settings again; with `ends_with_supervisor` it ends when its supervisor is
    gone. Raises `OSError` where the address cannot be bound, `ConfigError` for certificates and keys that cannot be
    used.
    """
    check_tls(config.server)
    config = _within_descriptors(config)
    with contextlib.ExitStack() as stack:
        bound = bind(config.server.host, config.server.port, share=config.server.reuse_port)
        sock = stack.enter_context(contextlib.closing(bound))
        operations_sock = None
        if config.operations.address:
            host, _, port = config.operations.address.rpartition(":")
            bound = bind(host.strip("[]"), int(port), share=config.server.reuse_port)
            operations_sock = stack.enter_context(contextlib.closing(bound))
            logger.info("operations at %s", address_of(operations_sock))
        address = address_of(sock, "https" if config.server.tls_certificate else "http")

        def ready() -> None:
            if on_ready:
                on_ready(address)

        gateway = make(config)
        if ends_with_supervisor:
            end_with_supervisor()
        if reread is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, _reload, gateway, reread)
            stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        await gateway.run(sock, ready, operations_sock)


def _within_descriptors(config: Config) -> Config:
    """The settings with no more connections than there are descriptors for: above that clients would be dropped without
    an answer, health checks too. Says so in the log where that changes them."""
    limit = raise_limit()
    fits = connections_max(config.stream.max_connections, limit)
    if fits == config.stream.max_connections:
        return config
    logger.warning(
        "the limit of %d open files leaves room for %d of %d connections (stream.max_connections); "
        "raise it with ulimit -n or LimitNOFILE",
        limit,
        fits,
        config.stream.max_connections,
    )
    return msgspec.structs.replace(config, stream=msgspec.structs.replace(config.stream, max_connections=fits))


def _reload(gateway: Runnable, reread: Callable[[], Config]) -> None:
    try:
        wanted = _within_descriptors(reread())
    except ConfigError as error:
        logger.error("settings cannot be read again, nothing has changed: %s", error)
    else:
        gateway.reload(wanted)
