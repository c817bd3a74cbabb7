from __future__ import annotations

from gateway.config import load_config
from gateway.config.reload import RELOADABLE, reloaded


def test_reloadable_keys_change_and_the_others_are_named() -> None:
    running = load_config(None, {})
    wanted = load_config(
        None,
        {},
        {
            "log": {"level": "debug"},
            "market": {"stale_after_s": 3.0, "intervals": ["1m"]},
            "server": {"port": 9},
        },
    )
    config, changed, waiting = reloaded(running, wanted)
    assert set(changed) == {"log.level", "market.stale_after_s"}
    assert set(waiting) == {"market.intervals", "server.port"}
    assert (config.log.level, config.market.stale_after_s) == ("debug", 3.0)
    assert (config.market.intervals, config.server.port) == (running.market.intervals, running.server.port)


def test_equal_settings_change_nothing() -> None:
    running = load_config(None, {})
    assert reloaded(running, load_config(None, {})) == (running, (), ())


def test_every_reloadable_key_exists() -> None:
    config = load_config(None, {})
    for name in RELOADABLE:
        section, _, key = name.partition(".")
        assert key in getattr(config, section).__struct_fields__
