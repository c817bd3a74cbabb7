"""Settings from text, and what is said of those that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, ConfigError, load_config

if TYPE_CHECKING:
    from pathlib import Path


def from_text(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ or {})


def error_of(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text, environ)
    return str(caught.value).removeprefix(f"{tmp_path / 'config.toml'}: ")
