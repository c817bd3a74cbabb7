"""Settings: file, environment and command line in that order, every mistake named by its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Config, ConfigError, load_config, mask_url, masked

SHIPPED = Path(__file__).parents[2] / "config.toml"


def from_text(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ or {})


def error_of(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text, environ)
    return str(caught.value)


class TestSources:
    def test_the_shipped_file_says_every_key_and_its_default(self) -> None:
        shipped = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
        assert shipped == msgspec.json.decode(msgspec.json.encode(Config()))

    def test_every_key_of_the_shipped_file_is_explained(self) -> None:
        # The names of Redis keys share one comment above them.
        lines = [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if " = " in line]
        unexplained = [line for line in lines if "#" not in line and "{symbol}" not in line]
        assert not unexplained

    def test_without_a_file_the_defaults_hold(self) -> None:
        assert load_config(None, {}) == Config()

    def test_a_key_of_the_file_replaces_its_default_only(self, tmp_path: Path) -> None:
        config = from_text(tmp_path, "[server]\nport = 9000\n")
        assert (config.server.port, config.server.host) == (9000, "127.0.0.1")

    def test_the_environment_is_laid_over_the_file_and_overrides_over_both(self, tmp_path: Path) -> None:
        environ = {"GATEWAY_SERVER__PORT": "9001", "GATEWAY_SERVER__HOST": "0.0.0.0"}
        assert from_text(tmp_path, "[server]\nport = 9000\n", environ).server.port == 9001
        config = load_config(None, environ, {"server": {"port": 9002}})
        assert (config.server.port, config.server.host) == (9002, "0.0.0.0")

    def test_variables_of_others_are_not_looked_at(self) -> None:
        assert load_config(None, {"GATEWAY_HOME": "/srv", "PORT": "1", "SERVER__PORT": "2"}) == Config()

    @pytest.mark.parametrize(
        ("name", "text", "section", "key", "value"),
        [
            ("GATEWAY_SERVER__PORT", "0", "server", "port", 0),
            ("GATEWAY_REDIS__WATCHDOG_S", "2.5", "redis", "watchdog_s", 2.5),
            ("GATEWAY_REDIS__RETRY_S", "0.5, 1,", "redis", "retry_s", (0.5, 1.0)),
            ("GATEWAY_MARKET__INTERVALS", "1m,1M", "market", "intervals", ("1m", "1M")),
            ("GATEWAY_LOG__FORMAT", "json", "log", "format", "json"),
            ("GATEWAY_HTTP__CORS_ORIGINS", "", "http", "cors_origins", ()),
        ],
    )
    def test_a_variable_is_read_as_the_type_of_its_key(
        self, name: str, text: str, section: str, key: str, value: object
    ) -> None:
        assert getattr(getattr(load_config(None, {name: text}), section), key) == value

    def test_settings_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(AttributeError):
            Config().server.port = 1  # type: ignore[misc]


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("[server]\nprot = 1", "server: Object contains unknown field `prot`", id="unknown key"),
            pytest.param("[servre]\nport = 1", "Object contains unknown field `servre`", id="unknown section"),
            pytest.param("[server]\nport = '1'", "server.port: Expected `int`, got `str`", id="wrong type"),
            pytest.param("[server]\nport = 65536", "server.port: Expected `int` <= 65535", id="out of range"),
            pytest.param("[stream]\ntick_ms = 1", "stream.tick_ms: Expected `int` >= 5", id="too small"),
            pytest.param("[log]\nlevel = 'loud'", "log.level: Invalid enum value 'loud'", id="no such choice"),
            pytest.param("[redis]\nretry_s = []", "redis.retry_s: Expected `array` of length >= 1", id="empty"),
            pytest.param(
                "[redis]\nurl = 'http://x'",
                "redis.url: Expected `str` matching regex '^(redis|rediss|unix)://'",
                id="no URL of Redis",
            ),
            pytest.param(
                "[market]\nintervals = ['2m']",
                "market.intervals: unknown interval '2m', expected one of 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h "
                "1d 3d 1w 1M",
                id="unknown interval",
            ),
            pytest.param(
                "[market]\nsymbol_pattern = '['",
                "market.symbol_pattern: not a regular expression: unterminated character set at position 0",
                id="pattern",
            ),
            pytest.param(
                "[redis]\nklines_key = 'k:{symbol}'",
                "redis.klines_key: expected {symbol} and {interval} once each, got 'k:{symbol}'",
                id="template without interval",
            ),
            pytest.param(
                "[redis]\nticker_channel = '{symbol}{symbol}'",
                "redis.ticker_channel: expected {symbol} once each, got '{symbol}{symbol}'",
                id="template with symbol twice",
            ),
            pytest.param(
                "[redis]\nticker_key = '{symbol}:{interval}'",
                "redis.ticker_key: expected {symbol} once each, got '{symbol}:{interval}'",
                id="template with a field too many",
            ),
            pytest.param(
                "[stream]\nunsent_bytes = 40000",
                "stream.unsent_bytes: expected at most stream.send_buffer_bytes",
                id="limits at odds",
            ),
            pytest.param("server = 1", "server: Expected `object`, got `int`", id="a value for a section"),
        ],
    )
    def test_the_message_names_the_key_and_what_is_expected(self, tmp_path: Path, text: str, message: str) -> None:
        assert error_of(tmp_path, text) == message

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("GATEWAY_SERVER__PORT", "http", "GATEWAY_SERVER__PORT: Expected `int`, got `str`"),
            ("GATEWAY_SERVER__PROT", "1", "server: Object contains unknown field `prot`"),
            ("GATEWAY_SERVRE__PORT", "1", "Object contains unknown field `servre`"),
            ("GATEWAY_REDIS__RETRY_S", "", "GATEWAY_REDIS__RETRY_S: Expected `array` of length >= 1"),
        ],
    )
    def test_a_variables_mistake_is_named_too(self, tmp_path: Path, name: str, text: str, message: str) -> None:
        assert error_of(tmp_path, environ={name: text}) == message

    def test_a_variable_for_a_section_that_the_file_made_a_value(self, tmp_path: Path) -> None:
        message = error_of(tmp_path, "server = 1", {"GATEWAY_SERVER__PORT": "1"})
        assert message == "server: expected a section of keys"

    def test_a_mistake_at_the_top_is_passed_on_as_it_is(self) -> None:
        overrides: Any = {"server": {}, "": {}}
        with pytest.raises(ConfigError, match="unknown field ``"):
            load_config(None, {}, overrides)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
            load_config(tmp_path / "none.toml", {})

    @pytest.mark.parametrize("content", [b"[server", b"\xff"], ids=["syntax", "encoding"])
    def test_a_file_that_is_not_toml(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "config.toml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"config\.toml: not valid TOML: "):
            load_config(path, {})


class TestSecrets:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://user@h:6379/0", "redis://user@h:6379/0"),
            ("redis://user:s3cret@h:6379/0", "redis://user:***@h:6379/0"),
            ("rediss://:s3cret@h", "rediss://:***@h"),
            ("redis://:a%40b@h", "redis://:***@h"),
            ("unix://user:s3cret@/run/redis.sock?db=1", "unix://user:***@/run/redis.sock?db=1"),
        ],
    )
    def test_passwords_in_urls_are_masked(self, url: str, shown: str) -> None:
        assert mask_url(url) == shown

    def test_a_password_among_the_parameters_is_masked(self) -> None:
        url = "redis://h:1/0?db=2&password=s3cret&my_password=shown"
        assert mask_url(url) == "redis://h:1/0?db=2&password=***&my_password=shown"

    def test_the_effective_settings_are_printable(self) -> None:
        config = load_config(None, {"GATEWAY_REDIS__URL": "redis://:s3cret@h:1/0"})
        data = masked(config)
        assert "s3cret" not in str(data)
        assert data["redis"]["url"] == "redis://:***@h:1/0"
        assert data["server"] == {
            "host": "127.0.0.1",
            "port": 8000,
            "backlog": 4096,
            "shutdown_s": 10.0,
            "reuse_port": False,
        }
