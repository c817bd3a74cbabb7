"""The table of error codes."""

from __future__ import annotations

import orjson
import pytest

from gateway.model.errors import ErrorCode


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_its_name_and_has_an_error_status_and_a_message(code: ErrorCode) -> None:
    assert code == code.value == code.name
    assert 400 <= code.http_status < 600
    assert code.message


def test_a_code_encodes_as_its_name() -> None:
    assert orjson.dumps({"code": ErrorCode.BAD_JSON}) == b'{"code":"BAD_JSON"}'
