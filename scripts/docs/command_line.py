"""The page of the command line, out of the commands themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli import main
from scripts.docs.markdown import fence, page

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100


def command_line() -> str:
    """The page: the help of `gateway` and of each of its commands."""
    parts = ["# Command line", "`kline-gateway` is another name of `gateway`."]
    for name, text in helps(main, "gateway"):
        parts += [f"## `{name}`", fence(text, "text")]
    return page(*parts)


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """The help of a command and of those below it, as a terminal shows it."""
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from helps(found, below, context)
