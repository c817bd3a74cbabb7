"""Opens the archive that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.archive.postgres import PostgresArchive
from gateway.archive.sqlite import SqliteArchive

if TYPE_CHECKING:
    from gateway.archive.engine import Archive
    from gateway.config import ArchiveConfig


def open_archive(config: ArchiveConfig) -> Archive | None:
    """The archive, which is opened when it is first used; `None` where the settings name none."""
    if config.url:
        return PostgresArchive(config.url)
    return SqliteArchive(Path(config.path)) if config.path else None
