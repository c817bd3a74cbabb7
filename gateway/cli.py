"""The command line: arguments in, exit status out.

Must not decide anything about markets or clients. A command imports what it needs when it runs, so that `--help` and
errors in the settings appear at once. Exit status: 0 ended normally, 1 could not run, 2 wrong arguments or settings.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec
import tomli_w

from collector.commands import backfill, collect, live
from gateway import __version__
from gateway.archive.commands import archive, export, import_
from gateway.command import (
    UsageError,
    config_option,
    load,
    port_option,
    print_line,
    read,
    require_free,
    run,
    values_as_arguments,
)
from gateway.config import ConfigError, is_key_name, masked
from gateway.ops.status.commands import top, trace

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

logger = logging.getLogger("gateway.simulator")

symbols_option = click.option(
    "--symbols", type=click.IntRange(1), default=100, show_default=True, help="How many trading pairs to simulate."
)
rate_option = click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Ticker updates a second of each pair.",
)
FORMATS = click.Choice(("binance", "cryptofeed", "ccxt", "array"))
publish_option = click.option(
    "--publish/--no-publish",
    default=True,
    help="--no-publish: write keys and never publish, as some collectors do (see feed.mode).",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kline-gateway")
def main() -> None:
    """Streams crypto klines and tickers from Redis to charts and bots."""


main.add_command(archive)
main.add_command(backfill)
main.add_command(collect)
main.add_command(export)
main.add_command(import_)
main.add_command(live)
main.add_command(top)
main.add_command(trace)


@main.command()
@config_option
@click.option("--host", help="Address to listen on; 0.0.0.0 opens it to the network.")
@port_option
@click.option("--redis", "redis_url", metavar="URL", help="Where the collector writes.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes on the port, for example one per core.  [default: 1]"
)
@click.option("--worker", is_flag=True, hidden=True, help="Run as one of them; a line on standard input says which.")
def serve(
    file: Path | None, host: str | None, port: int | None, redis_url: str | None, workers: int | None, worker: bool
) -> None:
    """Run the gateway."""
    server = {"host": host, "port": port, "workers": workers}
    options: dict[str, dict[str, Any]] = {"server": server, "redis": {"url": redis_url}}
    config = load(file, options)

    def announce(address: str) -> None:
        print_line(f"Serving on {address}")

    def reread() -> Config:
        return read(file, options)

    if config.server.workers > 1 and not worker:
        from gateway.server.workers import WorkersError, supervise

        given = {"--config": file, "--redis": redis_url}
        words = [str(word) for key, value in given.items() if value for word in (key, value)]
        return run(config, supervise(config, words, on_ready=announce), WorkersError)
    from gateway.app import serve as run_gateway

    worker_group = None
    if worker:
        from gateway.server.worker_group import join

        worker_group = join()
        config, reread = worker_group.share(config), lambda: worker_group.share(read(file, options))
    run(config, run_gateway(config, on_ready=announce, reread=reread, worker_group=worker_group), ConfigError)
    return None


@main.command()
@port_option
@symbols_option
@rate_option
@publish_option
def demo(port: int | None, symbols: int, rate: float, publish: bool) -> None:
    """Run the gateway with a simulated market: nothing else is needed."""
    # The demo must not use the settings of a real installation in ./config.toml.
    config = load(None, {"server": {"port": port}, "http": {"docs": True}}, default=None)
    require_free(config.server)
    from gateway.app import serve as run_gateway
    from gateway.config import ArchiveConfig
    from simulator.exchange import Activity
    from simulator.pairs import choose_pairs
    from simulator.server import ServerError
    from simulator.simulate import Simulation, collected, run_demo

    def announce(address: str) -> None:
        print_line(f"Open {address} in a browser. Ctrl-C ends the demo.")

    async def serve_from(redis_url: str, archive: str) -> None:
        redis = msgspec.structs.replace(config.redis, url=redis_url)
        demo_config = msgspec.structs.replace(config, redis=redis, archive=ArchiveConfig(path=archive))
        await run_gateway(demo_config, on_ready=announce)

    with values_as_arguments():
        choose_pairs(symbols)
        intervals = collected(config.market.intervals)
        simulation = Simulation(symbols, intervals, Activity(rate), publish=publish, extended=True)
    run(config, run_demo(serve_from, simulation, config.redis, print_line=logger.debug), ServerError)


@main.command()
@config_option
@click.option("--redis", "redis_url", metavar="URL", required=True, help="The Redis to write to.")
@symbols_option
@rate_option
@publish_option
@click.option(
    "--spike", type=click.FloatRange(1), default=1.0, help="Factor by which the rate rises once, after 10 s ..."
)
@click.option(
    "--spike-seconds", type=click.FloatRange(0, min_open=True), default=5.0, help="... for this many seconds."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same market.")
@click.option(
    "--intervals",
    metavar="NAMES",
    help="Kline intervals, comma-separated.  [default: those of market.intervals that collectors have]",
)
@click.option(
    "--extended", is_flag=True, help="Add trade ids, taker volumes, best bid and ask; few collectors provide them."
)
@click.option("--format", "payload_format", type=FORMATS, default="binance", help="What to write: see feed.format.")
@click.option("--streams", is_flag=True, help="Append to streams instead of publishing, as for feed.mode = streams.")
def simulate(
    file: Path | None,
    redis_url: str,
    symbols: int,
    rate: float,
    publish: bool,
    spike: float,
    spike_seconds: float,
    seed: int,
    intervals: str | None,
    extended: bool,
    payload_format: str,
    streams: bool,
) -> None:
    """Write a simulated market into Redis, as a collector would."""
    names = [name.strip() for name in intervals.split(",")] if intervals is not None else None
    config = load(file, {"redis": {"url": redis_url}, "market": {"intervals": names}})
    from simulator.exchange import Activity
    from simulator.pairs import choose_pairs
    from simulator.simulate import Simulation, collected, run_simulate

    with values_as_arguments():
        choose_pairs(symbols)
        activity = Activity(rate, spike=spike, spike_s=spike_seconds)
        simulated = config.market.intervals if names else collected(config.market.intervals)
        simulation = Simulation(symbols, simulated, activity, seed, publish, extended, payload_format, streams)
    run(config, run_simulate(simulation, config.redis, print_line=logger.info))


@main.command("make-key")
@click.argument("name")
def make_key(name: str) -> None:
    """Make an API key for NAME, and the entry for tokens.api_keys that admits it."""
    from gateway.access import credentials

    if not is_key_name(name):
        raise UsageError("NAME: expected 1 to 64 letters, digits, or any of . _ @ -")
    key = credentials.make_key(os.urandom(credentials.ENTROPY_BYTES))
    click.echo(f"key:   {key}   (shown this once)\nentry: {name}:{credentials.hash_of(key)}")


@main.command("check-config")
@config_option
@click.option("--probe", "probes", is_flag=True, help="Look at the configured Redis instead: what would be served?")
@click.option("--seconds", type=click.FloatRange(0.1), default=3.0, help="How long --probe listens.  [default: 3]")
def check_config(file: Path | None, probes: bool, seconds: float) -> None:
    """Print the settings in force as TOML, passwords masked.

    With --probe: print what the gateway would serve from each source, what it would refuse, and why.
    """
    config = load(file, {})
    if not probes:
        return click.echo(tomli_w.dumps(masked(config)), nl=False)
    from gateway.ops.probe import probe

    sys.exit(0 if probe(config, seconds, click.echo) else 1)
