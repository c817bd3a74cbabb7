"""The tables of the archive on PostgreSQL, by version, and how a database gets from one version to the next."""

from __future__ import annotations

from typing import Any

from gateway.archive.engine import ArchiveError

# Name of an advisory lock, which each database has for itself.
_MIGRATION = 0x6B6C696E6502

MIGRATIONS = (
    """
    CREATE TABLE archive_series (
        id SERIAL PRIMARY KEY, symbol TEXT NOT NULL, interval TEXT NOT NULL, UNIQUE (symbol, interval)
    );
    CREATE TABLE archive_blocks (
        series INTEGER NOT NULL, start_ms BIGINT NOT NULL, first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL,
        klines INTEGER NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (series, start_ms)
    );
    ALTER TABLE archive_blocks ALTER COLUMN data SET STORAGE EXTERNAL;
    CREATE TABLE archive_fresh (
        series INTEGER NOT NULL, open_ms BIGINT NOT NULL, kline BYTEA NOT NULL, PRIMARY KEY (series, open_ms)
    );
    """,
    """
    ALTER TABLE archive_series ADD COLUMN changes BIGINT NOT NULL DEFAULT 0;
    CREATE TABLE archive_rollups (
        series INTEGER NOT NULL, grain TEXT NOT NULL, skip BOOLEAN NOT NULL, start_ms BIGINT NOT NULL,
        data BYTEA NOT NULL, PRIMARY KEY (series, grain, skip, start_ms)
    );
    ALTER TABLE archive_rollups ALTER COLUMN data SET STORAGE EXTERNAL;
    """,
)
"""Each brings a database to the next version; the first one makes it. The table `archive_version` says which it has."""


async def migrate(connection: Any) -> None:
    """Bring the database to the newest version. Raises `ArchiveError` for one that is newer."""
    if await connection.fetchval("SELECT to_regclass('archive_version')") is not None:
        version = await connection.fetchval("SELECT max(version) FROM archive_version")
        if version == len(MIGRATIONS):
            return
    async with connection.transaction():
        # Another process may be at it.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION)
        await connection.execute("CREATE TABLE IF NOT EXISTS archive_version (version INTEGER NOT NULL)")
        version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM archive_version")
        if version > len(MIGRATIONS):
            raise ArchiveError(f"the archive has version {version}, this gateway knows {len(MIGRATIONS)} at most")
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            await connection.execute(statements)
            await connection.execute("INSERT INTO archive_version VALUES ($1)", number)
