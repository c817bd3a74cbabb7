from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.delivery.commands import CommandError, SetProfile, Subscribe
from gateway.model.errors import STREAM_CODES, ErrorCode

PROTOCOL = Path(__file__).parents[3] / "gateway" / "PROTOCOL.md"


@pytest.mark.parametrize("code", STREAM_CODES)
def test_every_error_code_is_published(code: ErrorCode) -> None:
    assert re.search(rf"^\| `{code}` \|", PROTOCOL.read_text(encoding="utf-8"), re.MULTILINE)


def test_an_error_says_what_is_wrong_and_whose_it_is() -> None:
    error = CommandError(ErrorCode.BAD_REQUEST, "no channels", 7)
    assert (error.code, error.message, error.id, str(error)) == ("BAD_REQUEST", "no channels", 7, "no channels")
    assert CommandError(ErrorCode.BAD_JSON, "not JSON").id is None


def test_what_a_command_leaves_out_asks_for_nothing() -> None:
    assert Subscribe(None, {}) == Subscribe(None, {}, history=0, resume={})
    assert SetProfile(None, None, None).max_bytes_per_min is None
