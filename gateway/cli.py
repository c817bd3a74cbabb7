"""The command line: arguments in, exit status out.

Must not decide anything about markets or clients. A command imports what it needs when it runs, so that `--help` and
errors in the settings appear at once. Exit status: 0 ended normally, 1 could not run, 2 wrong arguments or settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import tomli_w

from gateway import __version__
from gateway.config import ConfigError, is_key_name, load_config, masked
from gateway.ops.status.commands import top, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from types import FrameType

    from gateway.config import Config

logger = logging.getLogger("gateway.simulator")

DEFAULT_FILE = Path("config.toml")

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings file.  [default: ./config.toml if there is one, else the built-in defaults]",
)
port_option = click.option("--port", type=click.IntRange(0, 65535), help="TCP port to listen on; 0: any free one.")
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
publish_option = click.option(
    "--publish/--no-publish",
    default=True,
    help="--no-publish: write keys and never publish, as some collectors do (see feed.mode).",
)


class CommandError(click.ClickException):
    """The command could not run; the message says why."""

    exit_code = 1


class UsageError(click.ClickException):
    """Arguments or settings are wrong; the message names which."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kline-gateway")
def main() -> None:
    """Streams crypto klines and tickers from Redis to charts and bots."""


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
    config = _load(file, options)

    def announce(address: str) -> None:
        _print(f"Serving on {address}")

    def reread() -> Config:
        return _read(file, options)

    if config.server.workers > 1 and not worker:
        from gateway.server.workers import WorkersError, supervise

        given = {"--config": file, "--redis": redis_url}
        words = [str(word) for key, value in given.items() if value for word in (key, value)]
        return _run(config, supervise(config, words, on_ready=announce), WorkersError)
    from gateway.app import serve as run_gateway

    worker_group = None
    if worker:
        from gateway.server.worker_group import join

        worker_group = join()
        config, reread = worker_group.share(config), lambda: worker_group.share(_read(file, options))
    _run(config, run_gateway(config, on_ready=announce, reread=reread, worker_group=worker_group), ConfigError)
    return None


@main.command()
@port_option
@symbols_option
@rate_option
@publish_option
def demo(port: int | None, symbols: int, rate: float, publish: bool) -> None:
    """Run the gateway with a simulated market: nothing else is needed."""
    # The demo must not use the settings of a real installation in ./config.toml.
    config = _load(None, {"server": {"port": port}}, default=None)
    from gateway.app import serve as run_gateway
    from simulator.exchange import Activity
    from simulator.pairs import choose_pairs
    from simulator.server import ServerError
    from simulator.simulate import Simulation, collected, run_demo

    def announce(address: str) -> None:
        _print(f"Open {address} in a browser. Ctrl-C ends the demo.")

    async def serve_from(redis_url: str) -> None:
        redis = msgspec.structs.replace(config.redis, url=redis_url)
        await run_gateway(msgspec.structs.replace(config, redis=redis), on_ready=announce)

    with _values_as_arguments():
        choose_pairs(symbols)
        intervals = collected(config.market.intervals)
        simulation = Simulation(symbols, intervals, Activity(rate), publish=publish, extended=True)
    _run(config, run_demo(serve_from, simulation, config.redis, print_line=logger.debug), ServerError)


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
) -> None:
    """Write a simulated market into Redis, as a collector would."""
    names = [name.strip() for name in intervals.split(",")] if intervals is not None else None
    config = _load(file, {"redis": {"url": redis_url}, "market": {"intervals": names}})
    from simulator.exchange import Activity
    from simulator.pairs import choose_pairs
    from simulator.simulate import Simulation, collected, run_simulate

    with _values_as_arguments():
        choose_pairs(symbols)
        activity = Activity(rate, spike=spike, spike_s=spike_seconds)
        simulated = config.market.intervals if names else collected(config.market.intervals)
        simulation = Simulation(symbols, simulated, activity, seed, publish=publish, extended=extended)
    _run(config, run_simulate(simulation, config.redis, print_line=logger.info))


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
    config = _load(file, {})
    if not probes:
        return click.echo(tomli_w.dumps(masked(config)), nl=False)
    from gateway.ops.probe import probe

    sys.exit(0 if probe(config, seconds, click.echo) else 1)


def _load(file: Path | None, options: Mapping[str, Mapping[str, Any]], default: Path | None = DEFAULT_FILE) -> Config:
    """The settings at the start; ends the command if they cannot be used."""
    try:
        return _read(file, options, default)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _read(file: Path | None, options: Mapping[str, Mapping[str, Any]], default: Path | None = DEFAULT_FILE) -> Config:
    """The settings of file, environment and options; raises `ConfigError`."""
    if file is None and default is not None and default.is_file():
        file = default
    overrides = {
        section: given
        for section, keys in options.items()
        if (given := {key: value for key, value in keys.items() if value is not None})
    }
    return load_config(file, os.environ, overrides)


@contextmanager
def _values_as_arguments() -> Iterator[None]:
    """A value that the simulation refuses is a wrong argument."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def _run(config: Config, command: Coroutine[Any, Any, None], *expected: type[Exception]) -> None:
    """Run `command` to its end. Ctrl-C and SIGTERM end it normally.

    `OSError` (a port in use, for example) and `expected` errors are reported in a sentence, without a traceback.
    """
    from gateway.ops.logs import setup_logging

    setup_logging(config.log)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_terminated(command))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        causes = list(_causes(error))
        if not all(isinstance(cause, (OSError, *expected)) for cause in causes):
            raise
        raise CommandError("; ".join(getattr(cause, "strerror", None) or str(cause) for cause in causes)) from error


def _print(text: str) -> None:
    """Print a line. A service continues if that fails: its standard output may be a file on a full disk."""
    try:
        click.echo(text)
    except OSError:
        # The rest of the buffer must not fail again at exit: that would change the exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _until_terminated(command: Coroutine[Any, Any, None]) -> None:
    """Cancel `command` at SIGTERM, as at Ctrl-C. (While the web server runs, it handles both signals itself.)"""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        await command
    except asyncio.CancelledError:
        if not terminated:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, or the errors inside an exception group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop
