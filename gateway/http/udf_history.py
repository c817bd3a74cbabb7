"""UDF's `/history` of cached klines: columns whose closed part is made once, each followed by the forming kline's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.history.answer_prefix import AnswerPrefix, Ending, joined_gzip
from gateway.http.kept_answers import Answer, Asked, Plans, conditions
from gateway.http.reply import STATE, lines_of, raw_headers
from gateway.protocol.udf import COLUMNS, END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.history.answer import KlinesAnswer
    from gateway.http.kept_answers import Make


def columns_of(answer: KlinesAnswer) -> list[AnswerPrefix]:
    """The columns of the closed klines."""
    encoded, first, last = answer.encoded, answer.first, answer.last
    return [encoded.encoded_by(encode).prefix(opening, first, last) for opening, encode in COLUMNS]


def compress(columns: Iterable[AnswerPrefix]) -> None:
    """Takes some ms: call it in a thread."""
    for column in columns:
        if not column.compressed:
            column.compress()


def ending_of(answer: KlinesAnswer, columns: list[AnswerPrefix]) -> Ending:
    """The whole answer, compressed too where all of its columns are. The first column keeps it for the next request."""
    kept = columns[0].ending
    packable = all(column.compressed for column in columns)
    if kept is not None and kept.suits(answer.forming, answer.stale_reason) and bool(kept.packed) == packable:
        return kept
    rests = [b""] * len(columns)
    if answer.forming is not None:
        comma = b"," if answer.last > answer.first else b""
        rests = [comma + encode(answer.forming) for _, encode in COLUMNS]
    rests[-1] += END
    text = b"".join([piece for column, rest in zip(columns, rests, strict=True) for piece in (column.text, rest)])
    packed = joined_gzip(list(zip(columns, rests, strict=True)), text) if packable else b""
    headers = [*raw_headers(None, "no-store"), (STATE.encode(), b"stale" if answer.stale else b"live")]
    made = Ending(answer.forming, answer.stale_reason, text, headers, lines_of(headers), packed=packed)
    columns[0].ending = made
    return made


def history_maker(
    cached: Callable[[str, str, int, int | None, int | None], KlinesAnswer | None],
    plans: Plans[Asked],
    gzip_min_bytes: int,
) -> Make:
    """Makes answers of `/history` with at least one kline. `cached`: `History.cached_klines`."""

    def make(query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
        asked, given = plans.get(query), conditions(headers)
        if asked is None or given is None:
            return None
        answer = cached(*asked)
        if answer is None or (answer.forming is None and answer.first >= answer.last):
            return None
        ending = ending_of(answer, columns_of(answer))
        if not given.gzip or len(ending.text) < gzip_min_bytes:
            return Answer(ending, ending.text)
        # Otherwise the columns would have to be compressed first, which the route does in a thread.
        return Answer(ending, ending.packed, True) if ending.packed else None

    return make
