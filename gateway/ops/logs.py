"""Log lines: set-up from the settings, the two formats, and the summary of bursts.

One event is one line. What happens once per message is counted in the metrics, never logged; an error that can
come with every message goes through `BurstLog`.
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

# Fields every record has; what is left was given by the caller as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Loggers of the server, which brings handlers of its own, and the least they may say. Each connection and request is
# worth a line to them: in a reconnect storm that is tens of thousands. At "debug" one may want the former.
_FOREIGN = {
    "uvicorn": logging.INFO,
    "uvicorn.error": logging.INFO,
    "uvicorn.asgi": logging.INFO,
    "uvicorn.access": logging.WARNING,
    "websockets": logging.INFO,
}
# Each request that is no HTTP is worth a warning to this one: any client may fill the log with them.
_TALKATIVE = "uvicorn.error"
# The server's lines have a request's target in them, and its query may hold a token: nobody asks for one there, but
# clients try.
_QUERY = re.compile(r"\?[^\"\s]+")
# A line break or an escape sequence in a logged value must not forge a line or reach a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))} | {
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
    for name, least in _FOREIGN.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        quiet = logging.ERROR if name == _TALKATIVE else logging.WARNING
        logger.setLevel(least if root.level == logging.DEBUG else max(quiet, root.level))
    logging.captureWarnings(True)


def name_lines(**fields: object) -> None:
    """Have every line from now on carry these as well: which of several processes says it."""
    make = logging.getLogRecordFactory()

    def named(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        vars(record).update(fields)
        return record

    logging.setLogRecordFactory(named)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z info gateway.pump: message key=value`, a traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"{_time(record)} {record.levelname.lower()} {_source(record)}: {_visible(_said(record))}"]
        parts += [f"{key}={_value(value)}" for key, value in _extras(record).items()]
        line = " ".join(parts)
        if trace := _trace(self, record):
            line += "\n" + "\n".join(f"    {row}" for row in trace.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, then the extras, and `exception` if any."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": _source(record),
            "message": _said(record),
        }
        event |= {f"{key}_" if key in event else key: value for key, value in _extras(record).items()}
        if trace := _trace(self, record):
            event["exception"] = trace
        # Lone surrogates (from undecodable file names, say) are no JSON; a log line must come out anyway.
        try:
            return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            return orjson.dumps({key: ascii(value) for key, value in event.items()}).decode()


class BurstLog:
    """Keeps a repeated complaint to one line at first and one summary per `every_s`; the caller logs what it returns.

    A kind is a short closed set of names ("decode", "slow_client"), not client input: one entry is kept for each
    kind that is repeating, and dropped after a quiet `every_s`.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._open: dict[str, _Burst] = {}

    def add(self, kind: str, message: str, now_s: float) -> str | None:
        """The line to log for this event, or None while it is only counted."""
        burst = self._open.get(kind)
        over = burst is not None and now_s >= burst.said_at_s + self._every_s
        if burst is None or (over and not burst.more):
            self._open[kind] = _Burst(message, now_s)
            return message
        burst.message = message
        burst.more += 1
        return self._summary(burst, now_s) if over else None

    def due(self, now_s: float) -> list[str]:
        """Summaries that no further event has brought out; call it every now and then, so that a burst's end shows."""
        lines = []
        for kind, burst in list(self._open.items()):
            if now_s >= burst.said_at_s + self._every_s:
                if burst.more:
                    lines.append(self._summary(burst, now_s))
                else:
                    del self._open[kind]
        return lines

    def _summary(self, burst: _Burst, now_s: float) -> str:
        line = f"{burst.message} ... and {burst.more:,} more in {now_s - burst.said_at_s:.0f} s"
        burst.more = 0
        burst.said_at_s = now_s
        return line


class _Burst:
    __slots__ = ("message", "more", "said_at_s")

    def __init__(self, message: str, said_at_s: float) -> None:
        self.message = message
        self.more = 0
        self.said_at_s = said_at_s


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _source(record: logging.LogRecord) -> str:
    # uvicorn logs everything but requests as "uvicorn.error", good news too.
    return "uvicorn" if record.name == "uvicorn.error" else record.name


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _said(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return _QUERY.sub("?…", message) if record.name in _FOREIGN else message


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    rows = []
    if record.exc_info:
        rows.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        rows.append(formatter.formatStack(record.stack_info))
    return "\n".join(rows)


def _visible(text: str) -> str:
    return text.translate(_VISIBLE)


def _value(value: object) -> str:
    """A value as one word: quoted where it would otherwise run into the next."""
    text = _visible(str(value))
    if text and not any(char in text for char in ' "='):
        return text
    return '"' + text.replace('"', '\\"') + '"'
