"""Runs `gateway top` and `gateway trace`: asks a running gateway over HTTP and prints its answers.

Imports nothing of the server. Apart from `commands.py`, so that other commands start without `urllib`."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import click

from gateway.ops.status import screen
from gateway.ops.status.verdict import STALE

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIOD_S = 1.0
TIMEOUT_S = 5.0
TRACE_WAIT_S = 5

STALE_EXIT_CODE = 3
"""Of `gateway top --once`, for scripts: users do not get fresh data. 1 means that the gateway does not answer."""

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


class NoAnswer(Exception):
    """The gateway does not answer; the message says why."""


class Denied(NoAnswer):
    """The gateway refuses the request: asking again does not help."""


def ask(url: str, path: str, token: str, query: Mapping[str, Any] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """GET a path of the gateway and return its JSON. Raises `NoAnswer`, or `Denied` if a retry cannot succeed."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Denied(f"{url}: expected http:// or https://")
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")
    request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise (NoAnswer if error.code >= 500 else Denied)(_refusal(error)) from error
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{address}: {getattr(error, 'reason', None) or error}") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code == 401:
        return "a token is needed: pass --token with the value of operations.token of the gateway"
    if error.code == 404:
        return f"{error.url}: not found; if operations.address is configured, pass that address as --url"
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.url}: status {error.code}"


def run_top(url: str, token: str, worker: int | None = None, *, once: bool) -> None:
    """Show the gateway's status until Ctrl-C. `once`: print it and return. `worker`: show this worker's numbers.

    Raises `NoAnswer` if the gateway does not answer at the start, and with `once` `SystemExit` if its data is stale.
    """
    query = {"worker": worker} if worker else None
    status = ask(url, "/status.json", token, query)
    if once:
        tty = sys.stdout.isatty()
        width, height = shutil.get_terminal_size() if tty else (200, 60)
        click.echo("\n".join(screen.top(status, width, height, colour=tty)))
        if status["level"] == STALE:
            raise SystemExit(STALE_EXIT_CODE)
        return
    sys.stdout.write(ENTER_SCREEN + HIDE_CURSOR)
    try:
        error = ""
        while True:
            _paint(status, error)
            time.sleep(PERIOD_S)
            try:
                status, error = ask(url, "/status.json", token, query), ""
            except NoAnswer as refusal:
                error = str(refusal)
    finally:
        sys.stdout.write(SHOW_CURSOR + LEAVE_SCREEN)
        sys.stdout.flush()


def _paint(status: Mapping[str, Any], error: str) -> None:
    """Write over the lines on the screen, so that nothing flickers; a line break after the last one would scroll.

    `error`: why the gateway does not answer any more; `status` is the last status then.
    """
    width, height = shutil.get_terminal_size()
    if error:
        lines = screen.unreachable(error, status, width, height, colour=True)
    else:
        lines = screen.top(status, width, height, colour=True)
    text = (TO_LINE_END + "\n").join(lines)
    sys.stdout.write(HOME + text + TO_LINE_END + TO_SCREEN_END)
    sys.stdout.flush()


def run_trace(url: str, token: str, symbol: str, count: int, worker: int | None = None) -> None:
    """Print the next `count` updates of a symbol as they arrive, as each worker or `worker` alone sees them.

    Raises `NoAnswer`.
    """
    click.echo(screen.trace_header())
    left = count
    reported: Mapping[str, str] = {}
    while left > 0:
        query = {"symbol": symbol, "count": 1 if left == count else min(left, 10), "wait_s": TRACE_WAIT_S}
        query |= {"worker": worker} if worker else {}
        status = ask(url, "/v1/trace", token, query, timeout_s=TIMEOUT_S + TRACE_WAIT_S)
        if not status["updates"]:
            click.echo(f"no update of {symbol} in {TRACE_WAIT_S} s", err=True)
        for update in status["updates"]:
            click.echo(screen.trace_row(update))
        away = status.get("away", {})
        for number, why in away.items() - reported.items():
            click.echo(f"worker {number} does not answer: {why}", err=True)
        reported = away
        left -= max(Counter(update.get("worker") for update in status["updates"]).values(), default=0)
