from __future__ import annotations

import orjson
import pytest

from gateway.access.admission import Refusal
from gateway.http.guard import refusal_of
from gateway.model.errors import ErrorCode


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (ErrorCode.UNAUTHORIZED, -2015),
        (ErrorCode.FORBIDDEN, -2015),
        (ErrorCode.RATE_LIMIT, -1003),
        (ErrorCode.OVERLOADED, -1008),
    ],
)
def test_every_refusal_has_the_shape_of_the_dialect(code: ErrorCode, number: int) -> None:
    refusal = Refusal(code, "reason", "Not now.", 1.5)
    answers = {path: refusal_of(path, refusal) for path in ("/v1/klines", "/api/v3/klines", "/udf/history", "/none")}
    assert {answer.status_code for answer in answers.values()} == {code.http_status}
    assert {answer.headers["retry-after"] for answer in answers.values()} == {"2"}
    native, binance, udf, other = (orjson.loads(answer.body) for answer in answers.values())
    assert native == other == {"error": "Not now.", "code": code}
    assert binance == {"code": number, "msg": "Not now."}
    assert udf == {"s": "error", "errmsg": "Not now."}
