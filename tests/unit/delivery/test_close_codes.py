from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.delivery.close_codes import Close

PROTOCOL = Path(__file__).parents[3] / "gateway" / "PROTOCOL.md"
ROW = re.compile(r"^\| ([\d, ]+) \|.*\| (.+?) \|$", re.MULTILINE)


def published() -> dict[int, bool]:
    """Whether to reconnect, by code, as authors of clients are told."""
    text = PROTOCOL.read_text(encoding="utf-8").partition("Close codes:")[2]
    return {int(code): advice.startswith("yes") for codes, advice in ROW.findall(text) for code in codes.split(",")}


@pytest.mark.parametrize("close", Close)
def test_every_code_is_published_with_the_same_advice(close: Close) -> None:
    assert published()[close.code] is close.reconnect


def test_codes_tell_reasons_apart_and_fit_into_a_frame() -> None:
    assert len({close.code for close in Close}) == len(Close)
    assert all(0 < len(close.reason) < 100 for close in Close)
