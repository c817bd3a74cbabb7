"""The tables of the SQLite archive, by version, and how a file gets from one version to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.archive.engine import ArchiveError

if TYPE_CHECKING:
    import sqlite3

MIGRATIONS = (
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, interval TEXT NOT NULL, UNIQUE (symbol, interval)
    );
    CREATE TABLE blocks (
        series INTEGER NOT NULL, start_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        klines INTEGER NOT NULL, data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX blocks_by_time ON blocks (series, start_ms);
    CREATE TABLE fresh (
        series INTEGER NOT NULL, open_ms INTEGER NOT NULL, kline BLOB NOT NULL, PRIMARY KEY (series, open_ms)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE series ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE rollups (
        series INTEGER NOT NULL, grain TEXT NOT NULL, skip INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        data BLOB NOT NULL, PRIMARY KEY (series, grain, skip, start_ms)
    ) WITHOUT ROWID;
    """,
)
"""Each brings a file to the next version; the first one makes it. `PRAGMA user_version` says which a file has."""


def migrate(connection: sqlite3.Connection) -> None:
    """Prepare a connection, and bring its file to the newest version. Raises `ArchiveError` for one that is newer."""
    connection.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing; a machine without power loses the last moments, which are read again from Redis.
    connection.execute("PRAGMA synchronous = NORMAL")
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster.
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise ArchiveError(f"the archive has version {version}, this gateway knows {len(MIGRATIONS)} at most")
        for statements in MIGRATIONS[version:]:
            for statement in statements.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    row: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
    return row[0]
