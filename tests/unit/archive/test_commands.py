"""`gateway import`, `export` and `archive`, as an operator runs them."""

from __future__ import annotations

import sqlite3
import zipfile
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.archive.blocks import pack
from gateway.archive.dumps import COLUMNS, rows_of
from tests.unit.archive.klines import kline, run

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

LINES = [",".join(map(str, row)) for row in rows_of(run(0, 1999))]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A month as Binance publishes it."""
    path = tmp_path / "BTCUSDT-1m-2023-11.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("BTCUSDT-1m-2023-11.csv", "\n".join(LINES) + "\n")
    return path


def invoked(tmp_path: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(cli.main, [command, "--archive", str(tmp_path / "archive.db"), *rest])


def exported(tmp_path: Path, *more: str) -> list[str]:
    result = invoked(tmp_path, "export", "--symbol", "BTCUSDT", "--interval", "1m", *more)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_what_is_imported_is_exported_as_it_was(dump: Path, tmp_path: Path) -> None:
    result = invoked(tmp_path, "import", str(dump))
    assert "2000 klines, 2000 new or changed" in result.output
    assert exported(tmp_path) == [",".join(COLUMNS), *LINES]


def test_importing_again_changes_nothing(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    result = invoked(tmp_path, "import", str(dump))
    assert (result.exit_code, "2000 klines, 0 new or changed" in result.output) == (0, True)


def test_rows_of_one_kline_in_any_order_make_one_kline_as_the_last_of_them_says(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2023-11.csv"
    better = LINES[5].replace("97100.50", "97100.75")
    path.write_text("\n".join([*LINES[5:10], *LINES[:6], better]))
    assert "12 klines, 10 new or changed" in invoked(tmp_path, "import", str(path)).output
    assert exported(tmp_path) == [",".join(COLUMNS), *LINES[:5], better, *LINES[6:10]]


def test_a_day_can_be_exported(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    first_ms, last_ms = 1_700_006_400_000, 1_700_006_400_000 + 24 * 3_600_000 - 1
    of_day = [line for line in LINES if first_ms <= int(line.partition(",")[0]) <= last_ms]
    assert exported(tmp_path, "--from", "2023-11-15", "--to", "2023-11-15") == [",".join(COLUMNS), *of_day]


def test_the_archive_says_what_it_has_and_what_is_missing(dump: Path, tmp_path: Path) -> None:
    part = tmp_path / "later.csv"
    part.write_text("\n".join(",".join(map(str, row)) for row in rows_of(run(2010, 2019))))
    invoked(tmp_path, "import", str(dump))
    invoked(tmp_path, "import", "--symbol", "BTCUSDT", "--interval", "1m", str(part))
    assert "2010 klines, 10 missing" in invoked(tmp_path, "archive").output


def test_bad_lines_are_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2023-11.csv"
    path.write_text("\n".join([*LINES[:10], "1,2,3", *LINES[10:20]]))
    result = invoked(tmp_path, "import", str(path))
    assert result.exit_code == 1
    assert "20 klines, 20 new or changed, 1 lines refused" in result.output
    assert "BTCUSDT-1m-2023-11.csv:11: " in result.output


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("klines.csv", b"", "give --symbol and --interval"),
        ("BTCUSDT-1m-2023-11.zip", b"PK half a file", "not a whole zip file"),
        ("BTCUSDT-1m-2023-11.csv", b"a,b,c\n1,2,3\n", "no column open_time"),
        ("BTCUSDT-1m-2023-11.csv", b"\xff\xfe", "codec can't decode"),
    ],
    ids=["an unknown series", "half a file", "another heading", "no text"],
)
def test_a_file_that_cannot_be_read_is_said_to_be_so(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    result = invoked(tmp_path, "import", str(path))
    assert result.exit_code == 1
    assert said in result.output


def test_a_zip_of_several_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2023-11.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("a.csv", LINES[0])
        zipped.writestr("b.csv", LINES[1])
    assert "expected one file inside, found 2" in invoked(tmp_path, "import", str(path)).output


@pytest.mark.parametrize(
    "arguments",
    [("--symbol", "BTCUSDT"), ("--column", "price=p")],
    ids=["half a series", "an unknown column"],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], dump: Path, tmp_path: Path) -> None:
    assert invoked(tmp_path, "import", *arguments, str(dump)).exit_code == 2


def test_an_export_of_nothing_fails(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    result = invoked(tmp_path, "export", "--symbol", "ETHUSDT", "--interval", "1m")
    assert result.exit_code == 1
    assert "no 1m klines of ETHUSDT" in result.output


def test_without_an_archive_nothing_can_be_done(dump: Path) -> None:
    assert CliRunner().invoke(cli.main, ["import", str(dump)]).exit_code == 2


def other(tmp_path: Path, *command: str, **settings: str) -> Result:
    """A command of `gateway archive`."""
    return CliRunner().invoke(
        cli.main, ["archive", "--archive", str(tmp_path / "archive.db"), *command], env={**settings, "TZ": "UTC"}
    )


def test_gaps_are_listed(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    assert other(tmp_path, "gaps").output == ""
    part = tmp_path / "later.csv"
    part.write_text("\n".join(",".join(map(str, row)) for row in rows_of(run(2010, 2019))))
    invoked(tmp_path, "import", "--symbol", "BTCUSDT", "--interval", "1m", str(part))
    assert other(tmp_path, "gaps").output == "BTCUSDT 1m: 2023-11-16 09:20 to 2023-11-16 09:29, 10 klines\n"


def test_a_sound_archive_is_verified(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    result = other(tmp_path, "verify")
    assert (result.exit_code, result.output) == (0, "2000 klines read, 0 problems\n")


def test_damage_and_nonsense_are_named(dump: Path, tmp_path: Path) -> None:
    invoked(tmp_path, "import", str(dump))
    with sqlite3.connect(tmp_path / "archive.db") as connection:
        first = connection.execute("SELECT start_ms FROM blocks ORDER BY start_ms LIMIT 1").fetchone()
        connection.execute("UPDATE blocks SET data = x'31ff' WHERE start_ms = ?", first)
        block = pack([kline(1990)._replace(low="99999")])
        connection.execute("UPDATE blocks SET data = ? WHERE start_ms = (SELECT max(start_ms) FROM blocks)", (block,))
    result = other(tmp_path, "verify")
    assert result.exit_code == 1
    assert "prices contradict" in result.output
    assert "2 problems" in result.output
    assert "the archive is damaged" in result.output
    assert "klines" in other(tmp_path, "gaps").output


def test_compacting_drops_what_is_old_and_makes_days(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2023-11.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows_of(run(0, 15 * 1440))))
    invoked(tmp_path, "import", str(path))
    result = other(tmp_path, "compact")
    assert result.exit_code == 0, result.output
    assert "BTCUSDT 1m: 16 days" in result.output
    assert " MB before, " in result.output
    with sqlite3.connect(tmp_path / "archive.db") as connection:
        assert connection.execute("SELECT count(*) FROM rollups WHERE grain = '1d'").fetchone()[0] > 0
    settings = tmp_path / "config.toml"
    settings.write_text('[archive]\nkeep_days = { "1m" = 1 }\n')
    other(tmp_path, "--config", str(settings), "compact")
    assert other(tmp_path).output.startswith("0 series")
