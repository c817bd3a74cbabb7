"""Log lines: set-up from the settings, the two formats, and the summary of bursts.

One event is one line. Events that occur once per message are counted in the metrics, never logged; an error that every
message can cause goes through `BurstLog`. structlog is not used: its import takes 50 ms where this file's takes 4 ms,
and what this file adds to `logging` (escaping, the server's loggers, bursts) would remain.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from gateway.config import LogConfig

# Fields that every record has; all others were passed by the caller as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Loggers of the server, which installs its own handlers, and their levels at "debug". They log each connection and
# request: tens of thousands of lines in a reconnect storm. At "debug" the lines about connections are useful.
_SERVER_LOGGERS = {
    "uvicorn": logging.INFO,
    "uvicorn.error": logging.INFO,
    "uvicorn.asgi": logging.INFO,
    "uvicorn.access": logging.WARNING,
    "websockets": logging.INFO,
}
# This logger warns about each request that is not HTTP: any client could fill the log with such lines.
_CLIENT_ERRORS_LOGGER = "uvicorn.error"
# The server's lines contain the request's target, whose query may contain a token: the gateway does not accept tokens
# there, but some clients send them.
_QUERY = re.compile(r"\?[^\"\s]+")
# A line break or an escape sequence in a logged value must not forge a line or reach a terminal.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


def setup_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send every logger's lines, ours and the server's, to `stream` (standard error) in the configured format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for name, least in _SERVER_LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        level = logging.ERROR if name == _CLIENT_ERRORS_LOGGER else logging.WARNING
        logger.setLevel(least if root.level == logging.DEBUG else max(level, root.level))
    logging.captureWarnings(True)


def add_fields(**fields: object) -> None:
    """Add these fields to every line from now on; used to say which of several processes logs it."""
    make = logging.getLogRecordFactory()

    def make_record(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        vars(record).update(fields)
        return record

    logging.setLogRecordFactory(make_record)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z info gateway.app: message key=value`, a traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it if there is one."""
        parts = [f"{_time(record)} {record.levelname.lower()} {_logger_name(record)}: {_escape(_message(record))}"]
        parts += [f"{key}={_value(value)}" for key, value in _extras(record).items()]
        line = " ".join(parts)
        if text := _traceback(self, record):
            line += "\n" + "\n".join(f"    {row}" for row in text.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, then the extras, and `exception` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. An extra never replaces a field that every line has: it gets `_` appended."""
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": _logger_name(record),
            "message": _message(record),
        }
        event |= {f"{key}_" if key in event else key: value for key, value in _extras(record).items()}
        if text := _traceback(self, record):
            event["exception"] = text
        # Lone surrogates (of undecodable file names, for example) are not valid JSON; the line must be written anyway.
        try:
            return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            return orjson.dumps({key: ascii(value) for key, value in event.items()}).decode()


class BurstLog:
    """Reduces a repeated message to one line at first and one summary per `every_s`; the caller logs what it returns.

    Kinds are a small closed set of names ("decode", "slow_client"), not client input: one entry is kept for each kind
    that repeats, and dropped after `every_s` without a further event.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._open: dict[str, _Burst] = {}

    def add(self, kind: str, message: str, now_s: float) -> str | None:
        """The line to log for this event, or None if it is only counted."""
        burst = self._open.get(kind)
        over = burst is not None and now_s >= burst.logged_s + self._every_s
        if burst is None or (over and not burst.repeats):
            self._open[kind] = _Burst(message, now_s)
            return message
        burst.message = message
        burst.repeats += 1
        return self._summary(burst, now_s) if over else None

    def due(self, now_s: float) -> list[str]:
        """Summaries of bursts that have ended; call it regularly, so that the end of a burst is logged."""
        lines = []
        for kind, burst in list(self._open.items()):
            if now_s >= burst.logged_s + self._every_s:
                if burst.repeats:
                    lines.append(self._summary(burst, now_s))
                else:
                    del self._open[kind]
        return lines

    def _summary(self, burst: _Burst, now_s: float) -> str:
        line = f"{burst.message} ... and {burst.repeats:,} more in {now_s - burst.logged_s:.0f} s"
        burst.repeats = 0
        burst.logged_s = now_s
        return line


class _Burst:
    __slots__ = ("logged_s", "message", "repeats")

    def __init__(self, message: str, logged_s: float) -> None:
        self.message = message
        self.repeats = 0
        self.logged_s = logged_s


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _logger_name(record: logging.LogRecord) -> str:
    # uvicorn logs everything but requests as "uvicorn.error", information too.
    return "uvicorn" if record.name == "uvicorn.error" else record.name


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return _QUERY.sub("?…", message) if record.name in _SERVER_LOGGERS else message


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    rows = []
    if record.exc_info:
        rows.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        rows.append(formatter.formatStack(record.stack_info))
    return "\n".join(rows)


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


def _value(value: object) -> str:
    """A value as one word: quoted if it would otherwise run into the next."""
    text = _escape(str(value))
    if text and not any(char in text for char in ' "='):
        return text
    return '"' + text.replace('"', '\\"') + '"'
