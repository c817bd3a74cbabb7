"""Log lines: one event is one line in both formats, whoever logs it; bursts are summarised."""

from __future__ import annotations

import io
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

import pytest

from gateway.config import LogConfig
from gateway.ops.logs import BurstLog, JsonFormatter, TextFormatter, setup_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets")


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    before = [
        (logger, logger.level, logger.handlers[:], logger.propagate) for logger in map(logging.getLogger, LOGGERS)
    ]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    logging.captureWarnings(False)


def record(message: str = "hello", *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("gateway.test", level, __file__, 1, message, args, None)
    made.created = 1732310070.1234
    vars(made).update(extra)
    return made


def text(**options: Any) -> str:
    return TextFormatter().format(record(**options))


def as_json(**options: Any) -> Any:
    line = JsonFormatter().format(record(**options))
    assert "\n" not in line
    return json.loads(line)


def failing() -> Any:
    try:
        raise ValueError("no good")
    except ValueError as error:
        return (ValueError, error, error.__traceback__)


def logged(config: LogConfig) -> io.StringIO:
    stream = io.StringIO()
    setup_logging(config, stream)
    return stream


class TestText:
    def test_a_line_has_time_level_logger_and_message(self) -> None:
        assert text() == "2024-11-22T21:14:30.123Z info gateway.test: hello"

    def test_extras_follow_as_key_and_value(self) -> None:
        assert text(symbol="BTCUSDT", count=3).endswith(": hello symbol=BTCUSDT count=3")

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            pytest.param("two words", '"two words"', id="blank"),
            pytest.param("", '""', id="empty"),
            pytest.param("a=b", '"a=b"', id="equals"),
            pytest.param('say "x"', '"say \\"x\\""', id="quote"),
            pytest.param("a\nb", "a\\nb", id="line break"),
        ],
    )
    def test_a_value_stays_one_word(self, value: str, written: str) -> None:
        assert text(key=value).endswith(f" key={written}")

    def test_control_characters_in_a_message_are_escaped(self) -> None:
        assert text(message="a\r\nb\tc\x1b[31m\x7f\x9b").endswith(": a\\r\\nb\\tc\\x1b[31m\\x7f\\x9b")

    def test_a_traceback_is_indented_below_the_line(self) -> None:
        first, *rest = text(exc_info=failing(), stack_info="Stack (most recent call last):").splitlines()
        assert first.endswith(": hello")
        assert all(line.startswith("    ") for line in rest)
        assert "    ValueError: no good" in rest
        assert "    Stack (most recent call last):" in rest

    def test_the_coloured_copy_of_a_server_message_is_left_out(self) -> None:
        assert text(color_message="\x1b[1mhello").endswith(": hello")


class TestJson:
    def test_a_line_has_time_level_logger_and_message(self) -> None:
        assert as_json(level=logging.WARNING) == {
            "time": "2024-11-22T21:14:30.123Z",
            "level": "warning",
            "logger": "gateway.test",
            "message": "hello",
        }

    def test_extras_keep_their_types(self) -> None:
        assert as_json(count=3, share=0.5, who=None)["count"] == 3

    def test_an_extra_never_replaces_a_standard_field(self) -> None:
        found = as_json(level_=1, time="noon")
        assert found["time"] == "2024-11-22T21:14:30.123Z"
        assert found["time_"] == "noon"

    def test_a_value_json_does_not_know_is_written_as_text(self) -> None:
        assert as_json(where=io)["where"] == str(io)

    def test_text_that_is_not_unicode_is_still_logged(self) -> None:
        assert as_json(name_="\udcff")["name_"] == "'\\udcff'"

    def test_a_traceback_is_a_field(self) -> None:
        assert as_json(exc_info=failing())["exception"].endswith("ValueError: no good")


class TestSetup:
    def test_gateway_and_server_lines_have_the_same_format(self) -> None:
        stream = logged(LogConfig(format="json"))
        logging.getLogger("gateway.app").info("ready", extra={"port": 8000})
        logging.getLogger("uvicorn.error").error("No %s upgrade", "WebSocket", extra={"color_message": "x"})
        ours, servers = map(json.loads, stream.getvalue().splitlines())
        assert (ours["logger"], ours["port"]) == ("gateway.app", 8000)
        assert (servers["logger"], servers["message"]) == ("uvicorn", "No WebSocket upgrade")
        assert "color_message" not in servers

    def test_handlers_of_the_server_are_removed(self) -> None:
        foreign = io.StringIO()
        logging.getLogger("uvicorn").addHandler(logging.StreamHandler(foreign))
        stream = logged(LogConfig())
        logging.getLogger("uvicorn").warning("once")
        assert foreign.getvalue() == ""
        assert stream.getvalue().count("once") == 1

    def test_after_two_set_ups_a_line_is_logged_once(self) -> None:
        logged(LogConfig())
        stream = logged(LogConfig())
        logging.getLogger("gateway").error("x")
        assert len(stream.getvalue().splitlines()) == 1

    @pytest.mark.parametrize(
        ("level", "seen"),
        [
            pytest.param("debug", ["debug", "info", "warning", "error"], id="debug"),
            pytest.param("warning", ["warning", "error"], id="warning"),
        ],
    )
    def test_lines_below_the_level_are_not_logged(self, level: Any, seen: list[str]) -> None:
        stream = logged(LogConfig(level=level))
        for name in ("debug", "info", "warning", "error"):
            logging.getLogger("gateway").log(getattr(logging, name.upper()), name)
        assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == seen

    def test_connections_are_logged_at_debug_only(self) -> None:
        for level, lines in (("info", 0), ("debug", 1)):
            stream = logged(LogConfig(level=level))  # type: ignore[arg-type]
            logging.getLogger("uvicorn.error").info("connection open")
            assert stream.getvalue().count("connection open") == lines

    def test_errors_that_any_client_can_cause_are_not_logged(self) -> None:
        stream = logged(LogConfig())
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        assert stream.getvalue() == ""

    def test_frames_and_requests_are_not_logged_even_at_debug(self) -> None:
        stream = logged(LogConfig(level="debug"))
        logging.getLogger("websockets.server").debug("< TEXT ...")
        logging.getLogger("uvicorn.access").info("GET /healthz")
        assert stream.getvalue() == ""

    def test_warnings_become_log_lines(self) -> None:
        stream = logged(LogConfig(format="json"))
        # pytest records warnings in a way of its own; what logging installed is asked directly.
        assert warnings.showwarning.__module__ == "logging"
        warnings.showwarning("old", DeprecationWarning, "file.py", 1)
        assert "old" in json.loads(stream.getvalue())["message"]

    def test_standard_error_is_the_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        setup_logging(LogConfig())
        logging.getLogger("gateway").info("there")
        assert capsys.readouterr().err.endswith("info gateway: there\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_the_query_of_a_request_is_not_logged(form: Literal["text", "json"]) -> None:
    stream = logged(LogConfig(level="debug", format=form))
    address = "/v1/stream?token=secret&x=1"
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "192.0.2.1:5", address)
    logging.getLogger("gateway").info("nothing of ours is cut?x=1")
    assert "secret" not in stream.getvalue()
    assert "/v1/stream?…" in stream.getvalue()
    assert "cut?x=1" in stream.getvalue()


class TestBurst:
    def test_the_first_of_a_kind_is_logged_at_once(self) -> None:
        assert BurstLog().add("decode", "not JSON", 100.0) == "not JSON"

    def test_further_ones_are_only_counted(self) -> None:
        burst = BurstLog(every_s=10)
        burst.add("decode", "a", 100.0)
        assert burst.add("decode", "b", 100.0) is None
        assert burst.add("decode", "c", 109.9) is None
        assert burst.due(109.9) == []

    def test_after_the_time_one_line_has_their_number_and_the_newest_message(self) -> None:
        burst = BurstLog(every_s=10)
        for _ in range(1235):
            burst.add("decode", "a", 100.0)
        assert burst.add("decode", "b", 110.0) == "b ... and 1,235 more in 10 s"
        assert burst.add("decode", "c", 119.0) is None

    def test_the_end_of_a_burst_is_summarised_though_nothing_follows(self) -> None:
        burst = BurstLog(every_s=10)
        burst.add("decode", "a", 100.0)
        burst.add("decode", "b", 101.0)
        assert burst.due(112.0) == ["b ... and 1 more in 12 s"]
        assert burst.due(130.0) == []

    def test_kinds_do_not_silence_each_other(self) -> None:
        burst = BurstLog()
        burst.add("decode", "a", 100.0)
        assert burst.add("redis", "b", 100.0) == "b"

    def test_after_a_time_without_events_the_next_is_a_first_again(self) -> None:
        burst = BurstLog(every_s=10)
        burst.add("decode", "a", 100.0)
        assert burst.due(110.0) == []
        assert burst.add("decode", "b", 110.0) == "b"

    def test_a_pause_without_a_summary_in_between_is_no_burst_either(self) -> None:
        burst = BurstLog(every_s=10)
        burst.add("decode", "a", 100.0)
        assert burst.add("decode", "b", 500.0) == "b"
