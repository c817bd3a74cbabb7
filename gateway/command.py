"""What every command needs: its settings, running until it is told to end, and errors as an exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.config import ConfigError, load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from types import FrameType

    from gateway.config import Config, ServerConfig

DEFAULT_FILE = Path("config.toml")

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings file.  [default: ./config.toml if there is one, else the built-in defaults]",
)
port_option = click.option("--port", type=click.IntRange(0, 65535), help="TCP port to listen on; 0: any free one.")


class CommandError(click.ClickException):
    """The command could not run; the message says why."""

    exit_code = 1


class UsageError(click.ClickException):
    """Arguments or settings are wrong; the message names which."""

    exit_code = 2


def load(file: Path | None, options: Mapping[str, Mapping[str, Any]], default: Path | None = DEFAULT_FILE) -> Config:
    """The settings at the start; ends the command if they cannot be used."""
    try:
        return read(file, options, default)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def read(file: Path | None, options: Mapping[str, Mapping[str, Any]], default: Path | None = DEFAULT_FILE) -> Config:
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
def values_as_arguments() -> Iterator[None]:
    """A value that the simulation refuses is a wrong argument."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def run(config: Config, command: Coroutine[Any, Any, None], *expected: type[Exception]) -> None:
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


def require_free(address: ServerConfig) -> None:
    """End the command at once where the gateway could not listen: what is started before it takes seconds."""
    from gateway.server.listening import bind

    try:
        bind(address.host, address.port, share=address.reuse_port).close()
    except OSError as error:
        raise CommandError(str(error.strerror)) from error


def print_line(text: str) -> None:
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
