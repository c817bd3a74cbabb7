"""What generates a page, by the name that docs/site.toml calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.docs.command_line import command_line
from scripts.docs.configuration import configuration
from scripts.docs.http import http
from scripts.docs.messages import messages
from scripts.docs.metrics import metrics
from scripts.docs.python_api import python_api
from scripts.docs.typescript_api import typescript_api

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATORS: dict[str, Callable[[], str]] = {
    "command_line": command_line,
    "configuration": configuration,
    "http": http,
    "messages": messages,
    "metrics": metrics,
    "python": python_api,
    "typescript": typescript_api,
}
