"""Klines in Parquet files: every type that a column comes in, and what is refused of them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.archive.dumps import BadRow, Unreadable
from gateway.archive.parquet import ParquetFile, klines_in
from tests.unit.archive.klines import T0, kline, run

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PRICES = {"open": ["100.10"], "high": ["110.00"], "low": ["90.5"], "close": ["105"]}


def written(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_what_is_written_is_read_to_the_digit(tmp_path: Path) -> None:
    path = tmp_path / "klines.parquet"
    file = ParquetFile(path)
    file.write(run(0, 2999))
    file.write(run(3000, 3009))
    file.close()
    assert list(klines_in(path, "1m")) == run(0, 3009)
    assert pandas.read_parquet(path)["high"].astype(float).max() == 97100.5


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([100.1, 2e-7], ["100.1", "0.0000002"]),
        ([Decimal("100.10"), Decimal("1E-7")], ["100.1000000", "0.0000001"]),
        ([100, 7], ["100", "7"]),
        (["100.10", "0.50"], ["100.10", "0.50"]),
    ],
    ids=["float", "decimal", "integer", "text"],
)
def test_numbers_of_any_type_keep_what_they_have(tmp_path: Path, column: list[Any], texts: list[str]) -> None:
    columns = {"open_time": [T0, T0 + 60_000], **dict.fromkeys(PRICES, column)}
    found = list(klines_in(written(tmp_path / "a.parquet", columns), "1m"))
    assert [one.close for one in found if not isinstance(one, BadRow)] == texts


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_times_may_be_times(tmp_path: Path, unit: str, zone: str | None) -> None:
    time = pyarrow.array([datetime.fromtimestamp(T0 / 1000, UTC)], pyarrow.timestamp(unit, "UTC"))
    columns = {"time": time.cast(pyarrow.timestamp(unit, zone)), **PRICES}
    (found,) = klines_in(written(tmp_path / "a.parquet", columns), "1m", {"open_time": "time"})
    assert not isinstance(found, BadRow)
    assert found[:6] == (T0, T0 + 59_999, "100.10", "110.00", "90.5", "105")


def test_a_row_that_is_no_kline_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    prices = {name: [texts[0], None, texts[0]] for name, texts in PRICES.items()}
    path = written(tmp_path / "a.parquet", {"open_time": [T0, T0 + 60_000, T0 + 120_000], **prices})
    first, bad, last = klines_in(path, "1m")
    assert bad == BadRow(2, "open '' is no decimal number")
    assert [one.open_time_ms for one in (first, last) if not isinstance(one, BadRow)] == [T0, T0 + 120_000]


def test_a_file_of_another_kind_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("open_time,open")
    with pytest.raises(Unreadable, match="no Parquet file that can be read"):
        list(klines_in(path, "1m"))
    with pytest.raises(Unreadable, match="no column open_time"):
        list(klines_in(written(path, PRICES), "1m"))


def test_without_the_library_it_is_said_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Unreadable, match=r"pip install 'kline-gateway\[parquet\]'"):
        list(klines_in(tmp_path / "a.parquet", "1m"))
    with pytest.raises(Unreadable, match="pip install"):
        ParquetFile(tmp_path / "a.parquet")


def invoked(folder: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(cli.main, [command, "--archive", str(folder / "archive.db"), *rest])


def test_commands_import_and_export_them(tmp_path: Path) -> None:
    path, again = tmp_path / "BTCUSDT-1m-2023-11.parquet", tmp_path / "again.parquet"
    file = ParquetFile(path)
    file.write(run(0, 9))
    file.close()
    assert "10 klines, 10 new or changed" in invoked(tmp_path, "import", str(path)).output
    series = "--symbol", "BTCUSDT", "--interval", "1m"
    assert invoked(tmp_path, "export", *series, "--output", str(again)).exit_code == 0
    assert list(klines_in(again, "1m")) == [kline(number) for number in range(10)]
    refused = invoked(tmp_path, "export", *series, "--format", "parquet")
    assert (refused.exit_code, "name a file" in refused.output) == (1, True)
