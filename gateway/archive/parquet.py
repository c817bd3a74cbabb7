"""Klines in Parquet files, as tools for data analysis write and read them; needs pyarrow (`kline-gateway[parquet]`).

Written are prices and volumes as text, so that every digit stays; read are texts, decimals, integers, floats and
times, in columns of one's own names.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.archive.dumps import COLUMNS, ROWS, BadRow, Unreadable, klines_of_rows, places_of, rows_of
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.model.kline import Kline

_INTEGERS = frozenset(("open_time", "close_time", "count"))


def klines_in(path: Path, interval: str, columns: Mapping[str, str] | None = None) -> Iterator[Kline | BadRow]:
    """The klines of a file, in its order; rows that are none as `BadRow`. Raises `Unreadable`.

    `columns`: where the file's columns have other names than those of a dump: ours -> the file's.
    """
    arrow, parquet = _libraries()
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            places = places_of(names, columns or {})
            wanted = [names[place] for place in places.values()]
            own = {name: number for number, name in enumerate(places)}
            number = 1
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                cells = [_texts(arrow, batch.column(name)) for name in wanted]
                rows = [list(row) for row in zip(*cells, strict=True)]
                yield from klines_of_rows(list(enumerate(rows, number)), own, INTERVALS[interval])
                number += len(rows)
    except arrow.ArrowException as error:
        raise Unreadable(f"no Parquet file that can be read: {error}") from error


class ParquetFile:
    """A file that is written: `write` as often as there are klines, then `close`."""

    def __init__(self, path: Path) -> None:
        """Raises `Unreadable` without the library, `OSError` where the file cannot be made."""
        self._arrow, parquet = _libraries()
        types = [(name, self._arrow.int64() if name in _INTEGERS else self._arrow.string()) for name in COLUMNS[:-1]]
        self._schema = self._arrow.schema(types)
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, klines: Sequence[Kline]) -> None:
        """Add klines."""
        columns = list(zip(*rows_of(klines), strict=True))[: len(self._schema)]
        arrays = [self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unreadable("Parquet needs pyarrow: pip install 'kline-gateway[parquet]'") from error
    return pyarrow, pyarrow.parquet


def _texts(arrow: Any, column: Any) -> list[str]:
    """A column's values as a dump would write them; "" for none."""
    if arrow.types.is_timestamp(column.type):
        column = column.cast(arrow.timestamp("ms", column.type.tz), safe=False).cast(arrow.int64())
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            # Never with an exponent, and no digit more than it takes to tell the number from its neighbours.
            return f"{Decimal(repr(value)):f}"
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)
