"""`gateway collect`, `gateway backfill` and `gateway live` on the command line."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.command import CommandError, UsageError, config_option, load, port_option, print_line, require_free, run
from gateway.config import AttributionConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger("gateway.collector")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands take; each option is a key of `[collect]`."""
    for option in (
        click.option("--stream-url", metavar="URL", help="Base address of its streams, where it is not its own."),
        click.option("--rest-url", metavar="URL", help="Base address of its REST API, where it is not its own."),
        click.option("--intervals", metavar="NAMES", help="Kline intervals.  [default: 1m,5m,15m,1h,4h,1d]"),
        click.option("--symbol", metavar="TEMPLATE", help="How pairs are called in Redis.  [default: {base}{quote}]"),
        click.option("--quote", metavar="ASSET", help="Pairs in this asset.  [default: USDT]"),
        click.option("--symbols", metavar="NAMES", help="These pairs; the top ones only with --top."),
        click.option("--top", type=click.IntRange(0), help="So many pairs by turnover.  [default: 50]"),
        click.option(
            "--exchange", metavar="NAME", help="binance, binance-usdm, or a name of ccxt's.  [default: binance]"
        ),
    ):
        command = option(command)
    return command


def _collect_settings(given: dict[str, Any]) -> dict[str, Any]:
    settings = dict(given)
    for name in ("symbols", "intervals"):
        if settings[name] is not None:
            settings[name] = [part.strip() for part in settings[name].split(",") if part.strip()]
    if settings["symbols"] and settings["top"] is None:
        settings["top"] = 0
    return settings


@click.command()
@config_option
@click.option("--redis", "redis_url", metavar="URL", help="The Redis to write to.  [default: redis.url]")
@click.option(
    "--budget", "commands_a_day", type=click.IntRange(1), metavar="COMMANDS", help="Most commands to Redis a day."
)
@click.option("--check", is_flag=True, help="Only say what the exchange can do; asks nobody.")
@click.option("--bundle/--no-bundle", default=None, help="Publish all messages of a flush as one, or not.")
@click.option("--ha", is_flag=True, default=None, help="Other collectors may write there too: one at a time does.")
@_options
def collect(
    file: Path | None,
    redis_url: str | None,
    commands_a_day: int | None,
    bundle: bool | None,
    ha: bool | None,
    *,
    check: bool,
    **given: Any,
) -> None:
    """Read an exchange and write its market into Redis."""
    settings = _collect_settings(given) | {"commands_a_day": commands_a_day, "ha": ha}
    settings["bundle"] = None if bundle is None else "on" if bundle else "off"
    config = load(file, {"redis": {"url": redis_url}, "collect": settings})
    from collector.exchanges import describe, make_exchange
    from collector.run import REFUSALS, make_collection, run_collect

    with _refusals_as_usage():
        exchange = make_exchange(config.collect)
        collection = make_collection(config, exchange)
    if check:
        for line in describe(exchange.venue):
            print_line(line)
        return
    run(config, run_collect(collection, config, print_line=logger.info), *REFUSALS)


@click.command()
@config_option
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day, UTC.")
@click.option("--archive", "archive_path", metavar="FILE", help="The archive to fill.  [default: archive.path]")
@_options
def backfill(file: Path | None, since: datetime, archive_path: str | None, **given: Any) -> None:
    """Fill the archive with an exchange's past, within its limits. Can be interrupted and repeated."""
    config = load(file, {"archive": {"path": archive_path}, "collect": _collect_settings(given)})
    from collector.run import REFUSALS, run_backfill
    from gateway.archive.engine import ArchiveError

    async def fill() -> None:
        since_ms = int(since.replace(tzinfo=UTC).timestamp() * 1000)
        counts = await run_backfill(config, since_ms, print_line=print_line)
        print_line(f"{counts.series} series complete: {counts.asked} klines asked for, {counts.there} were there")
        if counts.failed:
            raise CommandError(f"{counts.failed} series could not be filled; the log says why")

    run(config, fill(), ArchiveError, *REFUSALS)


@click.command()
@port_option
@_options
def live(port: int | None, **given: Any) -> None:
    """Run everything for a live chart of an exchange: a Redis-compatible server, a collector, and the gateway."""
    # As for the demo: the settings of a real installation in ./config.toml are not for this.
    config = load(None, {"server": {"port": port}, "collect": _collect_settings(given)}, default=None)
    require_free(config.server)
    from collector.exchanges import make_exchange
    from collector.run import REFUSALS, run_live
    from gateway.app import serve
    from simulator.server import ServerError

    with _refusals_as_usage():
        exchange = make_exchange(config.collect)
    venue = exchange.venue
    name = re.split("[-:]", venue.name)[0].upper()
    config = msgspec.structs.replace(
        config,
        attribution=AttributionConfig(name=venue.title, url=venue.url, terms=venue.terms_url),
        dialects=msgspec.structs.replace(config.dialects, exchange=name),
    )

    def announce(address: str) -> None:
        print_line(f"Open {address} in a browser: {venue.title}, live. Ctrl-C ends it.")

    async def serve_from(redis_url: str) -> None:
        redis = msgspec.structs.replace(config.redis, url=redis_url)
        await serve(msgspec.structs.replace(config, redis=redis), on_ready=announce)

    run(config, run_live(config, exchange, serve_from, print_line=logger.info), ServerError, *REFUSALS)


@contextmanager
def _refusals_as_usage() -> Iterator[None]:
    """Settings with which nothing can be collected end the command."""
    from collector.run import REFUSALS

    try:
        yield
    except REFUSALS as error:
        raise UsageError(str(error)) from error
