"""The command line, as far as it runs nothing: arguments, settings, messages and exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from gateway import __version__, cli
from gateway import command as command_line
from gateway.access.credentials import ApiKeys
from gateway.config import Config, LogConfig, load_config

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `config.toml` and no variables of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def gateway(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli.main, arguments, env=environ)


class TestHelp:
    def test_every_command_is_listed(self) -> None:
        shown = gateway("--help").stdout
        assert [
            name for name in ("check-config", "demo", "make-key", "serve", "simulate") if f"  {name} " not in shown
        ] == []

    @pytest.mark.parametrize("command", ["check-config", "demo", "serve", "simulate"])
    def test_every_option_is_explained(self, command: str) -> None:
        assert gateway(command, "-h").exit_code == 0
        options = [option for option in cli.main.commands[command].params if not getattr(option, "help", None)]
        assert not options

    def test_the_version_is_that_of_the_package(self) -> None:
        assert gateway("--version").stdout == f"kline-gateway, version {__version__}\n"


class TestCheckConfig:
    def test_without_a_file_the_defaults_are_printed(self) -> None:
        printed = tomllib.loads(gateway("check-config").stdout)
        assert printed == msgspec.json.decode(msgspec.json.encode(Config()))

    def test_a_file_in_the_current_folder_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[server]\nport = 9000\n")
        assert tomllib.loads(gateway("check-config").stdout)["server"]["port"] == 9000

    def test_a_named_file_has_precedence_over_one_in_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[server]\nport = 9000\n")
        (tmp_path / "other.toml").write_text("[server]\nport = 9001\n")
        assert tomllib.loads(gateway("check-config", "--config", "other.toml").stdout)["server"]["port"] == 9001

    def test_the_output_can_be_used_as_a_settings_file(self, tmp_path: Path) -> None:
        environ = {
            "GATEWAY_REDIS__TICKER_KEY": 'a"b\\c\x7fé{symbol}',
            "GATEWAY_REDIS__RETRY_S": "0.25,1e9",
            "GATEWAY_HTTP__CORS_ORIGINS": "",
        }
        path = tmp_path / "printed.toml"
        path.write_text(gateway("check-config", **environ).stdout, encoding="utf-8")
        assert load_config(path, {}) == load_config(None, environ)

    def test_passwords_are_not_printed(self) -> None:
        shown = gateway("check-config", GATEWAY_REDIS__URL="redis://user:s3cret@h:1/0").stdout
        assert "s3cret" not in shown
        assert 'url = "redis://user:***@h:1/0"' in shown


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            pytest.param(["check-config", "--config", "none.toml"], "none.toml: cannot be read", id="no file"),
            pytest.param(["serve", "--redis", "http://x"], "redis.url: Expected `str` matching", id="no URL"),
            pytest.param(["serve", "--host", ""], "server.host: Expected `str` of length >= 1", id="no host"),
            pytest.param(["serve", "--port", "65536"], "'--port': 65536 is not in the range", id="port"),
            pytest.param(["demo", "--symbols", "0"], "'--symbols': 0 is not in the range", id="no symbols"),
            pytest.param(["demo", "--rate", "0"], "'--rate': 0.0 is not in the range", id="no rate"),
            pytest.param(["simulate"], "Missing option '--redis'", id="nowhere to write"),
            pytest.param(
                ["simulate", "--redis", "redis://h", "--symbols", "100000"], "lists 1 to", id="more than listed"
            ),
            pytest.param(
                ["simulate", "--redis", "redis://h", "--intervals", "1m, 2m"],
                "market.intervals: unknown interval '2m'",
                id="interval",
            ),
            pytest.param(["simulate", "--redis", "redis://h", "--spike", "0.5"], "'--spike': 0.5", id="spike"),
            pytest.param(["make-key", "a:b"], "NAME: expected 1 to 64 letters", id="a name that ends too early"),
            pytest.param(["start"], "No such command 'start'", id="command"),
        ],
    )
    def test_a_wrong_argument_is_named_and_nothing_runs(self, arguments: list[str], message: str) -> None:
        result = gateway(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout == ""

    def test_a_wrong_variable_is_named_as_it_is_written(self) -> None:
        result = gateway("serve", GATEWAY_STREAM__FLUSH_MIN_MS="fast")
        expected = "Error: GATEWAY_STREAM__FLUSH_MIN_MS: Expected `int`, got `str`\n"
        assert (result.exit_code, result.stderr) == (2, expected)


@pytest.mark.usefixtures("_logging_as_before")
class TestRunning:
    @staticmethod
    def run(command: Coroutine[Any, Any, None], *expected: type[Exception]) -> None:
        command_line.run(Config(log=LogConfig(level="error")), command, *expected)

    def test_a_command_that_ends_by_itself_succeeds(self) -> None:
        async def command() -> None:
            await asyncio.sleep(0)

        self.run(command())

    @pytest.fixture
    def _interruptible(self) -> Iterator[None]:
        """A shell ignores SIGINT in background jobs, and asyncio leaves it so: the test would never end."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.usefixtures("_interruptible")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly_after_its_cleanup(self, number: signal.Signals) -> None:
        tidied = []

        async def command() -> None:
            signal.raise_signal(number)
            try:
                await asyncio.Event().wait()
            finally:
                tidied.append(number)

        before = signal.getsignal(signal.SIGTERM)
        # A shell starts programs in the background with SIGINT ignored, and then Python installs no handler for it.
        interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.run(command())
        finally:
            signal.signal(signal.SIGINT, interrupt)
        assert tidied == [number]
        assert signal.getsignal(signal.SIGTERM) is before

    def test_a_system_error_is_reported_in_a_sentence(self) -> None:
        async def command() -> None:
            raise OSError(98, "Address already in use")

        with pytest.raises(command_line.CommandError, match="Address already in use") as caught:
            self.run(command())
        assert caught.value.exit_code == 1

    def test_a_system_error_in_a_task_group_is_reported_too(self) -> None:
        async def fail() -> None:
            raise LookupError("no server to start")

        async def command() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())

        with pytest.raises(command_line.CommandError, match=r"^no server to start$"):
            self.run(command(), LookupError)

    def test_a_bug_keeps_its_traceback(self) -> None:
        async def command() -> None:
            raise LookupError("bug")

        with pytest.raises(LookupError):
            self.run(command())

    def test_a_cancellation_without_a_signal_is_a_bug(self) -> None:
        async def command() -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            self.run(command())


class TestMakeKey:
    def test_the_printed_entry_admits_the_key_and_each_key_is_new(self) -> None:
        found = [
            re.fullmatch(r"key: +(\S+) .*\nentry: (ann:\S+)\n", gateway("make-key", "ann").stdout) for _ in range(2)
        ]
        keys = []
        for match in found:
            assert match is not None
            config = load_config(None, {}, {"tokens": {"api_keys": [match[2]]}})
            grant = ApiKeys(config.tokens.api_keys).find(match[1])
            assert grant is not None
            assert grant.subject == "key:ann"
            keys.append(match[1])
        assert keys[0] != keys[1]
