"""The command line: `python -m loadtest COMMAND`; without a command it lists them."""

from __future__ import annotations

import asyncio
import random
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import click
import msgspec

from gateway.config import ConfigError
from loadtest import baseline as bare_writes
from loadtest import bench as benches
from loadtest import feed_modes
from loadtest.attack import burst
from loadtest.behind_proxies import ages as proxy_ages
from loadtest.behind_proxies.proxy import KINDS, ProxyError
from loadtest.chain.cost import measure as measure_collector
from loadtest.chain.cost import summary as collector_summary
from loadtest.chain.run import run as run_chain
from loadtest.chain.run import summary as chain_summary
from loadtest.cold_start import measure as measure_cold_start
from loadtest.commands_a_day import commands
from loadtest.compare.command import command as compare_command
from loadtest.compare.command import join_command
from loadtest.deep import command as deep_command
from loadtest.deep_archive import command as archive_command
from loadtest.events_cost import events as events_command
from loadtest.gateway_process import GatewayError
from loadtest.http_cost import measure as measure_http_cost
from loadtest.http_cost import table as http_cost_table
from loadtest.nemesis.run import run as run_nemesis
from loadtest.nemesis.setup import FeedMode
from loadtest.nemesis.verdict import summary as nemesis_summary
from loadtest.process_group import ProcessError
from loadtest.replays import command as replays_command
from loadtest.report.checker import Checker
from loadtest.report.page import html
from loadtest.report.recording import Ledger, RecordingError, read
from loadtest.report.result import Result
from loadtest.report.terminal import line, summary
from loadtest.reread import measure as measure_reread
from loadtest.run import Options, Run
from loadtest.scenario import SCENARIOS, ScenarioError, load
from loadtest.volume import measure
from simulator.server import ServerError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Load tests of the gateway, measured from outside."""


@main.command()
@click.argument("name")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For example clients.count=100.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Length of every phase, instead of its own.")
@click.option("--url", help="ws://HOST:PORT of a gateway that runs already; else one is started.")
@click.option("--pid", type=int, help="With --url: its process, if it is on this machine.")
@click.option("--redis", "redis_url", metavar="URL", help="Where to publish; else a server is started.")
@click.option("--parts", type=click.IntRange(1), default=1, show_default=True, help="Swarm processes.")
@click.option("--record", is_flag=True, help="Record the klines that decoding clients receive, for `check`.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
def run(
    name: str,
    overrides: tuple[str, ...],
    seconds: float | None,
    url: str | None,
    pid: int | None,
    redis_url: str | None,
    parts: int,
    record: bool,
    out: Path,
) -> None:
    """Run a scenario (a name from `list`, or a file). Ends with status 1 if an expectation is not met."""
    try:
        scenario = load(name, overrides)
    except ScenarioError as error:
        raise click.UsageError(str(error)) from error
    if seconds:
        phases = tuple(msgspec.structs.replace(phase, seconds=seconds) for phase in scenario.phases)
        scenario = msgspec.structs.replace(scenario, phases=phases)
    if url and not redis_url:
        raise click.UsageError("--url needs --redis: the feeder has to write where that gateway reads")
    out.mkdir(parents=True, exist_ok=True)
    stem = out / f"{Path(name).stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    options = Options(
        name=Path(name).stem,
        command=shlex.join(["python", "-m", "loadtest", *sys.argv[1:]]),
        address=_address(url) if url else None,
        pid=pid,
        redis_url=redis_url,
        parts=parts,
        recording=str(stem) if record else None,
    )
    try:
        result = Run(scenario, options, lambda phase, row: click.echo(line(phase, row))).run()
    except (ProcessError, GatewayError, ServerError, ConfigError) as error:
        raise click.ClickException(str(error)) from error
    stem.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    stem.with_suffix(".html").write_text(html(result), encoding="utf-8")
    click.echo(f"\n{summary(result)}\n\n{stem}.json\n{stem}.html")
    sys.exit(0 if result.passed else 1)


@main.command()
@click.pass_context
def hostile(context: click.Context) -> None:
    """500 attackers beside 200 clients that behave: `run hostile`."""
    context.invoke(run, name="hostile")


@main.command()
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True)
@click.option("--seed", type=int, help="The same seed plays the same faults; else one is drawn.")
@click.option("--symbols", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--clients", type=click.IntRange(1), default=4, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder for the logs.")
def chain(minutes: float, seed: int | None, symbols: int, clients: int, keep: Path | None) -> None:
    """Exchange, collector, Redis, gateway, clients: break all of it. Ends with status 1 if a kline was lost, doubled or
    changed by a digit."""
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    try:
        outcome = asyncio.run(run_chain(minutes, seed, click.echo, symbols=symbols, clients=clients, keep=keep))
    except (GatewayError, ServerError, ConfigError, TimeoutError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"\n{chain_summary(outcome)}")
    sys.exit(0 if outcome.passed else 1)


@main.command()
@click.option("--symbols", type=click.IntRange(1, 900), default=500, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=2000.0, show_default=True, help="Events/s.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=75.0, show_default=True)
def collector_cost(symbols: int, rate: float, seconds: float) -> None:
    """Measure one collector of six intervals and tickers: CPU, memory, commands, and what it adds to latency."""
    try:
        click.echo(collector_summary(asyncio.run(measure_collector(symbols, rate, seconds, click.echo))))
    except (ServerError, TimeoutError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


_OTHERS = commands, compare_command, join_command, archive_command, deep_command, replays_command, events_command
for _other in _OTHERS:
    main.add_command(_other)


@main.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def check(recordings: tuple[Path, ...]) -> None:
    """Prove from recordings that no kline was lost, repeated or out of order. Ends with status 1 if one was."""
    faults = 0
    for path in recordings:
        checker = Checker()
        complete = False
        try:
            for entry in read(path):
                if isinstance(entry, Ledger):
                    checker.finish(entry)
                    complete = True
                else:
                    checker.check(entry)
        except RecordingError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{path}: {checker.checked:,} closed klines, {dict(checker.faults) or 'no fault'}")
        if not complete:
            click.echo("  the recording is incomplete: klines may be missing after its end")
        for example in checker.examples:
            click.echo(f"  {example}")
        faults += checker.faults.total() + (not complete)
    sys.exit(1 if faults else 0)


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def report(results: tuple[Path, ...]) -> None:
    """Write the HTML report of a result file again."""
    for path in results:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
        path.with_suffix(".html").write_text(html(result), encoding="utf-8")
        click.echo(path.with_suffix(".html"))


@main.command()
@click.option("--sockets", default=1000, show_default=True)
@click.option("--bytes", "frame_bytes", default=5000, show_default=True)
@click.option("--beat-ms", default=50.0, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
def baseline(sockets: int, frame_bytes: int, beat_ms: float, seconds: float) -> None:
    """Bare socket writes: the least that any gateway costs on this machine."""
    found = bare_writes.measure(sockets, frame_bytes, beat_ms / 1000, seconds)
    click.echo(
        f"{found.us_per_write:.2f} us a write, {found.cpu_percent:.1f} % of a core, {found.writes:,} writes,"
        f" {found.skipped:,} not accepted, {found.late_beats} late intervals"
    )


@main.command()
@click.option("--mode", "modes", multiple=True, type=click.Choice(feed_modes.MODES), help="Instead of all.")
@click.option("--symbols", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Per symbol.")
@click.option("--seconds", type=click.FloatRange(1), default=15.0, show_default=True)
def modes(modes: tuple[str, ...], symbols: int, rate: float, seconds: float) -> None:
    """What each feed mode costs the gateway and Redis."""
    for mode in modes or feed_modes.MODES:
        click.echo(feed_modes.measure(mode, symbols, rate, seconds))


@main.command("cold-start")
def cold_start() -> None:
    """What clients that ask for the past of many series cost everybody else."""
    for figures in measure_cold_start():
        click.echo(figures)


@main.command("behind-proxies")
@click.argument("names", nargs=-1, type=click.Choice(list(KINDS)))
@click.option("--seconds", default=30.0, show_default=True)
@click.option("--bytes-per-s", default=20_000.0, show_default=True, help="What each slow reader reads.")
@click.option("--most-times", default=1.5, show_default=True, help="How much older prices behind a proxy may be.")
def behind_proxies(names: tuple[str, ...], seconds: float, bytes_per_s: float, most_times: float) -> None:
    """How old the prices of slow readers are behind nginx, HAProxy and Caddy; status 1 if they are too old."""
    try:
        rows = proxy_ages.measure(names or tuple(KINDS), seconds, bytes_per_s)
    except ProxyError as error:
        raise click.ClickException(str(error)) from error
    click.echo(proxy_ages.table(rows))
    if any(row.times(rows[0]) > most_times for row in rows):
        raise SystemExit(1)


@main.command("burst")
@click.argument("names", nargs=-1)
def http_burst(names: tuple[str, ...]) -> None:
    """How long bursts of HTTP requests silence a client; all, or those whose names begin like one of NAMES."""
    click.echo(burst.HEADER)
    for outcome in burst.measure(names):
        click.echo(outcome)


@main.command("http-cost")
@click.argument("names", nargs=-1)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--requests", type=click.IntRange(100), default=2000, show_default=True, help="Of each case and round.")
@click.option("--connections", type=click.IntRange(1), default=8, show_default=True)
@click.option("--checkout", type=click.Path(path_type=Path), help="Folder of another version of the gateway.")
def http_cost(names: tuple[str, ...], rounds: int, requests: int, connections: int, checkout: Path | None) -> None:
    """What a cached answer of the history costs, beside a server that only says hello; all cases, or those whose names
    begin like one of NAMES."""
    click.echo(http_cost_table(measure_http_cost(names, rounds, requests, connections, checkout)))


@main.command()
@click.option("--symbols", type=click.IntRange(1), default=300, show_default=True)
@click.option("--watched", type=click.IntRange(1), default=20, show_default=True, help="Symbols that a client watches.")
@click.option("--minute-end", is_flag=True, help="While the link is lost a minute ends.")
@click.option("--stored", default="", help="As `market.stored`; without it the gateway finds out.")
def reread(symbols: int, watched: int, minute_end: bool, stored: str) -> None:
    """What a lost link costs: how long data stays stale while it is read again."""
    click.echo(measure_reread(symbols, min(symbols, watched), minute_end, stored, timeout_s=900))


@main.command()
@click.argument("names", nargs=-1)
def bench(names: tuple[str, ...]) -> None:
    """Micro-benchmarks, all or by name."""
    unknown = [name for name in names if name not in benches.names()]
    if unknown:
        raise click.UsageError(f"no benchmark {unknown[0]}; there are {' '.join(benches.names())}")
    for name in names or benches.names():
        click.echo(benches.run(name))


@main.command("bytes")
@click.option("--symbols", type=click.IntRange(1, 300), default=100, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True)
def bytes_per_minute(symbols: int, rate: float) -> None:
    """Bytes a client is sent each minute, by dialect. The same on every machine."""
    for volume in measure(symbols, rate):
        click.echo(volume)


@main.command()
@click.option("--seed", type=int, default=None, help="The same seed breaks the same things at the same times.")
@click.option("--seconds", type=click.FloatRange(20), default=60.0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep recording and log in.")
@click.option(
    "--feed-mode",
    type=click.Choice(get_args(FeedMode)),
    default="auto",
    show_default=True,
    help="How the gateway reads. For keyspace and poll the collector writes keys only.",
)
def nemesis(seed: int | None, seconds: float, keep: Path | None, feed_mode: FeedMode) -> None:
    """Break everything in random order while clients check. Ends with status 1 if anything was lost."""
    seed = random.randrange(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}, {seconds:g} s")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    try:
        verdict = run_nemesis(seed, seconds, click.echo, keep, feed_mode)
    except (GatewayError, ServerError, TimeoutError) as error:
        raise click.ClickException(f"seed {seed}: {error}") from error
    click.echo(nemesis_summary(seed, verdict))
    sys.exit(not verdict.ok)


@main.command("list")
def list_scenarios() -> None:
    """The scenarios that come with the harness."""
    for path in sorted(SCENARIOS.glob("*.toml")):
        click.echo(f"{path.stem:<16} {load(path.stem).title}")


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "http") or not parts.hostname:
        raise click.UsageError(f"--url: expected ws://HOST:PORT, got {url}")
    return parts.hostname, parts.port or 80
