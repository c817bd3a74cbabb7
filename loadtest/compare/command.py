"""`python -m loadtest compare`."""

from __future__ import annotations

import shlex
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from loadtest.compare.columns import ColumnError, columns
from loadtest.compare.measure import Plan, compare
from loadtest.compare.peer_process import ENVIRONMENT, PeerError
from loadtest.compare.rows import RowError, choose
from loadtest.compare.table import Comparison, html, joined, markdown
from loadtest.scenario import ScenarioError


@click.command("compare")
@click.argument("rows", nargs=-1)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Of each server and row.")
@click.option("--seconds", type=click.FloatRange(1), default=8.0, show_default=True, help="Of each measurement.")
@click.option("--server", "servers", multiple=True, metavar="NAME", help="Instead of all.")
@click.option("--gateway", "gateways", multiple=True, metavar="NAME=PATH", help="A further gateway: another checkout.")
@click.option("--set", "settings", multiple=True, metavar="[NAME:]SECTION.KEY=VALUE", help="Of all gateways, or one.")
@click.option("--with", "overrides", multiple=True, metavar="KEY=VALUE", help="Of every scenario: clients.count=500.")
@click.option("--parts", type=click.IntRange(1), default=1, show_default=True, help="Swarm processes.")
@click.option("--peers", type=click.Path(path_type=Path, file_okay=False), default=ENVIRONMENT, help="Environment.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
def command(
    rows: tuple[str, ...],
    runs: int,
    seconds: float,
    servers: tuple[str, ...],
    gateways: tuple[str, ...],
    settings: tuple[str, ...],
    overrides: tuple[str, ...],
    parts: int,
    peers: Path,
    out: Path,
) -> None:
    """The gateway beside other servers, under the loads of ROWS (scenarios); all of them without any."""
    # As Ctrl-C does, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    stem = _stem(out)
    found: Comparison | None = None
    try:
        plan = Plan(
            rows=choose(rows),
            columns=columns(servers, gateways, settings),
            runs=runs,
            seconds=seconds,
            environment=peers,
            overrides=overrides,
            command=shlex.join(["python", "-m", "loadtest", *sys.argv[1:]]),
            parts=parts,
        )
        for found in compare(plan, click.echo):
            # What is measured stays, whatever becomes of the rows after it.
            _save(found, stem)
    except (RowError, ColumnError, ScenarioError) as error:
        raise click.UsageError(str(error)) from error
    except PeerError as error:
        raise click.ClickException(str(error)) from error
    if found is not None:
        _show(found, stem)


@click.command("compare-join")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
def join_command(results: tuple[Path, ...], out: Path) -> None:
    """One table of several result files of `compare`, for example of each row measured by itself."""
    stem = _stem(out)
    try:
        found = joined([msgspec.json.decode(path.read_bytes(), type=Comparison) for path in results])
    except (msgspec.DecodeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _save(found, stem)
    _show(found, stem)


def _stem(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return out / f"compare-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _save(comparison: Comparison, stem: Path) -> None:
    stem.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(comparison)))
    stem.with_suffix(".html").write_text(html(comparison), encoding="utf-8")


def _show(comparison: Comparison, stem: Path) -> None:
    click.echo(f"\n{markdown(comparison)}\n\n{stem}.json\n{stem}.html")
