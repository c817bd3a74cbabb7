"""File, environment and command line in that order; what cannot be read is named by its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Config, ConfigError, load_config, mask_url, masked
from tests.unit.config.settings import error_of, from_text

SHIPPED = Path(__file__).parents[3] / "config.toml"


class TestSources:
    def test_the_shipped_file_has_every_key_with_its_default(self) -> None:
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

    def test_the_environment_overrides_the_file_and_options_override_both(self, tmp_path: Path) -> None:
        environ = {"GATEWAY_SERVER__PORT": "9001", "GATEWAY_SERVER__HOST": "0.0.0.0"}
        assert from_text(tmp_path, "[server]\nport = 9000\n", environ).server.port == 9001
        config = load_config(None, environ, {"server": {"port": 9002}})
        assert (config.server.port, config.server.host) == (9002, "0.0.0.0")

    def test_an_option_for_a_section_that_is_a_value_in_the_file_does_not_hide_that_mistake(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "config.toml"
        path.write_text("server = 5\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="server: expected a section of keys"):
            load_config(path, {}, {"server": {"port": 9002}})

    def test_variables_of_other_programs_are_ignored(self) -> None:
        assert load_config(None, {"PORT": "1", "SERVER__PORT": "2", "MY_GATEWAY_X": "3"}) == Config()

    @pytest.mark.parametrize(
        ("name", "text", "section", "key", "value"),
        [
            ("GATEWAY_SERVER__PORT", "0", "server", "port", 0),
            ("GATEWAY_REDIS__WATCHDOG_S", "2.5", "redis", "watchdog_s", 2.5),
            ("GATEWAY_REDIS__RETRY_S", "0.5, 1,", "redis", "retry_s", (0.5, 1.0)),
            ("GATEWAY_MARKET__INTERVALS", "1m,1M", "market", "intervals", ("1m", "1M")),
            ("GATEWAY_LOG__FORMAT", "json", "log", "format", "json"),
            ("GATEWAY_HTTP__CORS_ORIGINS", "", "http", "cors_origins", ()),
            ("GATEWAY_DIALECTS__TICK_SIZES", "AAA=0.01, BBB=5,", "dialects", "tick_sizes", {"AAA": "0.01", "BBB": "5"}),
        ],
    )
    def test_a_variable_is_read_as_the_type_of_its_key(
        self, name: str, text: str, section: str, key: str, value: object
    ) -> None:
        assert getattr(getattr(load_config(None, {name: text}), section), key) == value

    def test_a_source_inherits_missing_keys_from_redis(self, tmp_path: Path) -> None:
        text = "[redis]\nprefix = 'p:'\nwatchdog_s = 9\n[sources.a]\n[sources.b]\nurl = 'redis://b'\nprefix = 'b:'\n"
        config = from_text(tmp_path, text)
        a, b = config.sources["a"], config.sources["b"]
        assert a == config.redis
        assert (b.url, b.prefix, b.watchdog_s) == ("redis://b", "b:", 9)

    def test_a_source_with_an_address_inherits_no_address_from_redis(self, tmp_path: Path) -> None:
        text = "[redis]\nsentinels = ['s:1']\nusername = 'u'\n[sources.a]\ncluster = ['c:1']\n[sources.b]\nurl = 'redis://b'\n"
        config = from_text(tmp_path, text)
        assert [source.sentinels for source in config.sources.values()] == [(), ()]
        assert config.sources["a"].cluster == ("c:1",)
        assert config.sources["b"].username == "u"

    def test_variables_set_keys_of_sources(self, tmp_path: Path) -> None:
        environ = {
            "GATEWAY_SOURCES__A__PASSWORD": "s3cret",
            "GATEWAY_SOURCES__NEW__CLUSTER": "h:1,[::1]:2",
            "GATEWAY_REDIS__WATCHDOG_S": "7",
        }
        config = from_text(tmp_path, "[sources.a]\nurl = 'redis://a'\n", environ)
        assert list(config.sources) == ["a", "new"]
        assert config.sources["a"].password == "s3cret"
        assert config.sources["new"].cluster == ("h:1", "[::1]:2")
        assert [source.watchdog_s for source in config.sources.values()] == [7, 7]


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("server = 1", "server: expected a section of keys", id="a value for a section"),
            pytest.param("redis = 1\nsources.a = {}", "redis: expected a section of keys", id="nothing to take from"),
            pytest.param("sources = 1", "sources: expected a section of keys", id="a value for the sources"),
            pytest.param(
                "market.intervals = ['1m', 5]", "market.intervals[1]: Expected `str`, got `int`", id="within a list"
            ),
            pytest.param("sources.a = 1", "sources.a: expected a section of keys", id="a value for a source"),
        ],
    )
    def test_a_value_of_the_wrong_type_is_named(self, tmp_path: Path, text: str, message: str) -> None:
        assert error_of(tmp_path, text) == message

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("GATEWAY_SERVER__PORT", "http", "GATEWAY_SERVER__PORT: Expected `int`, got `str`"),
            (
                "GATEWAY_SERVER__PROT",
                "1",
                "GATEWAY_SERVER__PROT: no such setting; did you mean 'GATEWAY_SERVER__PORT'?",
            ),
            (
                "GATEWAY_SERVRE__PORT",
                "1",
                "GATEWAY_SERVRE__PORT: no such setting; did you mean 'GATEWAY_SERVER__PORT'?",
            ),
            (
                "GATEWAY_REDIS_URL",
                "redis://x",
                "GATEWAY_REDIS_URL: no such setting; did you mean 'GATEWAY_REDIS__URL'?",
            ),
            ("GATEWAY_FOO", "1", "GATEWAY_FOO: no such setting; did you mean 'GATEWAY_FEED__MODE'?"),
            (
                "GATEWAY_SOURCES__A__URI",
                "x",
                "GATEWAY_SOURCES__A__URI: no such setting; did you mean 'GATEWAY_REDIS__URL'?",
            ),
            ("GATEWAY_REDIS__RETRY_S", "", "GATEWAY_REDIS__RETRY_S: Expected `array` of length >= 1"),
            (
                "GATEWAY_DIALECTS__TICK_SIZES",
                "BTCUSDT",
                (
                    "GATEWAY_DIALECTS__TICK_SIZES: Expected `str` matching regex "
                    "'^[0-9]{1,9}(\\\\.[0-9]{1,15})?$' - at `$[...]`"
                ),
            ),
        ],
    )
    def test_a_wrong_variable_is_named(self, tmp_path: Path, name: str, text: str, message: str) -> None:
        assert error_of(tmp_path, environ={name: text}) == message

    def test_a_variable_for_a_section_that_is_a_value_in_the_file_is_refused(self, tmp_path: Path) -> None:
        message = error_of(tmp_path, "server = 1", {"GATEWAY_SERVER__PORT": "1"})
        assert message == "server: expected a section of keys"

    def test_an_error_at_the_top_level_keeps_its_message(self) -> None:
        overrides: Any = {"server": {}, "": {}}
        with pytest.raises(ConfigError, match=r"^: no such section$"):
            load_config(None, {}, overrides)

    def test_all_mistakes_are_listed_at_once_with_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text("[server]\nport = 'x'\nprot = 1\n[feeds]\nmode = 1\n", encoding="utf-8")
        with pytest.raises(ConfigError) as refused:
            load_config(path, {"GATEWAY_FOO": "1"})
        assert str(refused.value).splitlines() == [
            f"{path}: GATEWAY_FOO: no such setting; did you mean 'GATEWAY_FEED__MODE'?",
            "server.port: Expected `int`, got `str`",
            "server.prot: no such key; did you mean 'port'?",
            "feeds: no such section; did you mean 'feed'?",
        ]

    def test_contradictions_are_listed_at_once_too(self) -> None:
        overrides: Any = {"market": {"intervals": ["2m", "7m"]}, "feed": {"poll_min_ms": 500, "poll_max_ms": 100}}
        with pytest.raises(ConfigError) as refused:
            load_config(None, {}, overrides)
        assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
            "market.intervals",
            "market.intervals",
            "feed.poll_min_ms",
        ]

    @pytest.mark.parametrize(
        "name", ["GATEWAY_SERVICE_HOST", "GATEWAY_SERVICE_PORT_HTTP", "GATEWAY_PORT", "GATEWAY_PORT_8000_TCP_ADDR"]
    )
    def test_service_links_of_kubernetes_are_no_settings(self, name: str) -> None:
        assert load_config(None, {name: "tcp://10.0.0.1:8000"}) == Config()

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
            load_config(tmp_path / "none.toml", {})

    @pytest.mark.parametrize("content", [b"[server", b"\xff"], ids=["syntax", "encoding"])
    def test_a_file_that_is_not_toml_is_refused(self, tmp_path: Path, content: bytes) -> None:
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

    def test_no_password_of_any_source_is_shown(self) -> None:
        environ = {
            "GATEWAY_REDIS__PASSWORD": "s3cret1",
            "GATEWAY_SOURCES__A__URL": "redis://:s3cret2@h",
            "GATEWAY_SOURCES__A__SENTINEL_PASSWORD": "s3cret3",
        }
        data = masked(load_config(None, environ))
        assert "s3cret" not in str(data)
        assert data["sources"]["a"]["password"] == data["sources"]["a"]["sentinel_password"] == "***"

    def test_the_password_of_the_archive_is_masked(self) -> None:
        config = load_config(None, {"GATEWAY_ARCHIVE__URL": "postgresql://u:secret@h/d"})
        assert masked(config)["archive"]["url"] == "postgresql://u:***@h/d"

    def test_masked_settings_can_be_printed(self) -> None:
        config = load_config(None, {"GATEWAY_REDIS__URL": "redis://:s3cret@h:1/0"})
        data = masked(config)
        assert "s3cret" not in str(data)
        assert data["redis"]["url"] == "redis://:***@h:1/0"
        assert (data["redis"]["password"], data["redis"]["sentinel_password"]) == ("", "")
        assert data["log"] == {"level": "info", "format": "text"}

    def test_secrets_of_tokens_are_not_printed(self) -> None:
        secret = "s3cret" * 6
        environ = {
            "GATEWAY_TOKENS__JWT_SECRET": secret,
            "GATEWAY_TOKENS__JWT_ALGORITHM": "HS256",
            "GATEWAY_TOKENS__AUDIENCE": "here",
            "GATEWAY_TOKENS__JWKS": "https://user:s3cret@keys.example/jwks",
            "GATEWAY_OPERATIONS__TOKEN": secret,
        }
        data = masked(load_config(None, environ))
        assert "s3cret" not in str(data)
        assert data["tokens"]["jwt_secret"] == data["operations"]["token"] == "***"
        assert masked(Config())["tokens"]["jwt_secret"] == ""
