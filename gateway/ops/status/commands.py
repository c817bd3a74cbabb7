"""Commands for whoever operates a gateway that runs already: they ask it over HTTP. The rest of the command line is in
`cli.py`."""

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
    help="A running gateway; its operations address, where it has one of its own.",
)
token_option = click.option(
    "--token", default="", envvar="GATEWAY_OPERATIONS__TOKEN", show_envvar=True, help="What operations.token holds."
)


worker_option = click.option(
    "--worker", type=click.IntRange(1), help="Of several workers, ask this one alone.  [default: all]"
)


@click.command()
@url_option
@token_option
@click.option("--once", is_flag=True, help="Print it once and end, for scripts.")
@worker_option
def top(url: str, token: str, once: bool, worker: int | None) -> None:
    """Show how a running gateway is: do users get fresh data, and if not, why."""
    from gateway.ops.status.remote import run_top

    with _answering():
        run_top(url, token, worker, once=once)


@click.command()
@click.argument("symbol")
@url_option
@token_option
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Updates to follow.")
@worker_option
def trace(symbol: str, url: str, token: str, count: int, worker: int | None) -> None:
    """Follow updates of SYMBOL through a running gateway: what each stage takes, in ms.

    feed: from the source's event time until it is read here. published: waits for the tick. Of the clients, +N get it
    at a later beat. Several workers follow each update by themselves, each for its own clients: a line each.
    """
    from gateway.ops.status.remote import run_trace

    with _answering():
        run_trace(url, token, symbol.upper(), count, worker)


@contextmanager
def _answering() -> Iterator[None]:
    """A gateway that does not answer is told in a sentence; Ctrl-C is how these commands end."""
    from gateway.ops.status.remote import NoAnswer

    try:
        yield
    except NoAnswer as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass
