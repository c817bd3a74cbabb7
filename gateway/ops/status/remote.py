"""`gateway top` and `gateway trace`: ask a running gateway, print what it tells. Nothing of the gateway is loaded."""

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

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIOD_S = 1.0
PATIENCE_S = 5.0
TRACE_WAIT_S = 5

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


class NoAnswer(Exception):
    """The gateway cannot be asked; the text says why."""


class Denied(NoAnswer):
    """It answers, but not to this question: asking again does not help."""


def ask(url: str, path: str, token: str, query: Mapping[str, Any] | None = None, patience_s: float = PATIENCE_S) -> Any:
    """The JSON at a path of the gateway. Raises `NoAnswer`."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Denied(f"{url}: expected http:// or https://")
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")
    request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=patience_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise (NoAnswer if error.code >= 500 else Denied)(_refusal(error)) from error
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{address}: {getattr(error, 'reason', None) or error}") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code == 401:
        return "a token is needed: --token, as operations.token of the gateway has it"
    if error.code == 404:
        return f"{error.url}: nothing there; where operations.address is configured, ask at that address"
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.url}: status {error.code}"


def run_top(url: str, token: str, worker: int | None = None, *, once: bool) -> None:
    """Show the gateway's state until Ctrl-C. `once`: print it and return. `worker`: whose numbers, of several.

    Raises `NoAnswer` where it does not answer at the start.
    """
    query = {"worker": worker} if worker else None
    told = ask(url, "/status.json", token, query)
    if once:
        tty = sys.stdout.isatty()
        width, height = shutil.get_terminal_size() if tty else (200, 60)
        click.echo("\n".join(screen.top(told, width, height, colour=tty)))
        return
    sys.stdout.write(OTHER_SCREEN + HIDE_CURSOR)
    try:
        why = ""
        while True:
            _paint(told, why)
            time.sleep(PERIOD_S)
            try:
                told, why = ask(url, "/status.json", token, query), ""
            except NoAnswer as error:
                why = str(error)
    finally:
        sys.stdout.write(SHOW_CURSOR + OWN_SCREEN)
        sys.stdout.flush()


def _paint(told: Mapping[str, Any], why: str) -> None:
    """Over what is there, so that nothing flickers; no line break after the last one, which would scroll.

    `why` it does not answer any more; then `told` is what it said last.
    """
    width, height = shutil.get_terminal_size()
    if why:
        lines = screen.unreachable(why, told, width, height, colour=True)
    else:
        lines = screen.top(told, width, height, colour=True)
    text = (TO_LINE_END + "\n").join(lines)
    sys.stdout.write(HOME + text + TO_LINE_END + TO_SCREEN_END)
    sys.stdout.flush()


def run_trace(url: str, token: str, symbol: str, count: int, worker: int | None = None) -> None:
    """Print the next `count` updates of a symbol as they come; of several workers, as each of them sees them, or as
    `worker` does. Raises `NoAnswer`."""
    click.echo(screen.trace_head())
    left = count
    missed: Mapping[str, str] = {}
    while left > 0:
        query = {"symbol": symbol, "count": 1 if left == count else min(left, 10), "wait_s": TRACE_WAIT_S}
        query |= {"worker": worker} if worker else {}
        told = ask(url, "/v1/trace", token, query, patience_s=PATIENCE_S + TRACE_WAIT_S)
        if not told["updates"]:
            click.echo(f"no update of {symbol} in {TRACE_WAIT_S} s", err=True)
        for update in told["updates"]:
            click.echo(screen.trace_row(update))
        away = told.get("away", {})
        for number, why in away.items() - missed.items():
            click.echo(f"worker {number} does not answer: {why}", err=True)
        missed = away
        left -= max(Counter(update.get("worker") for update in told["updates"]).values(), default=0)
