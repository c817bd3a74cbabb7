"""The commands `top` and `trace`, which ask a running gateway over HTTP. The other commands are in `cli.py`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

url_option = click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="A running gateway; its operations.address if that is configured.",
)
token_option = click.option(
    "--token", default="", envvar="GATEWAY_OPERATIONS__TOKEN", show_envvar=True, help="The value of operations.token."
)


worker_option = click.option(
    "--worker", type=click.IntRange(1), help="Ask only this worker of several.  [default: all]"
)


@click.command()
@url_option
@token_option
@click.option("--once", is_flag=True, help="Print the status once and exit, with 3 if data is stale: for scripts.")
@worker_option
def top(url: str, token: str, once: bool, worker: int | None) -> None:
    """Show whether users of a running gateway get fresh data, and if not, why."""
    from gateway.ops.status.remote import run_top

    with _errors_as_messages():
        run_top(url, token, worker, once=once)


@click.command()
@click.argument("symbol")
@url_option
@token_option
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Updates to follow.")
@worker_option
def trace(symbol: str, url: str, token: str, count: int, worker: int | None) -> None:
    """Follow updates of SYMBOL through a running gateway: how long each stage takes, in ms.

    feed: from the source's event time until the gateway reads it. published: waiting for the flush. clients +N: N more
    clients get it at a later flush. Several workers follow each update for their own clients: one line each.
    """
    from gateway.ops.status.remote import run_trace

    with _errors_as_messages():
        run_trace(url, token, symbol.upper(), count, worker)


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """Print a sentence if the gateway does not answer. Ctrl-C is how these commands end: no error."""
    from gateway.ops.status.remote import NoAnswer

    try:
        yield
    except NoAnswer as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass
