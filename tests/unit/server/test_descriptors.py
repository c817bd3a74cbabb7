import resource
from collections.abc import Callable

import pytest

from gateway.server.descriptors import ENOUGH, RESERVED, connections_max, raise_limit

INFINITY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[tuple[int, int]]]:
    def use(soft: int, hard: int) -> list[tuple[int, int]]:
        made: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", lambda which, values: made.append(values))
        return made

    return use


@pytest.mark.parametrize(
    ("soft", "hard", "limit", "made"),
    [
        (64, 4096, 4096, [(4096, 4096)]),
        (4096, 4096, 4096, []),
        (1024, INFINITY, ENOUGH, [(ENOUGH, INFINITY)]),
        (INFINITY, INFINITY, ENOUGH, []),
    ],
    ids=["raised", "as high as it goes", "no hard limit", "no limit"],
)
def test_the_soft_limit_becomes_the_hard_one(
    limits: Callable[[int, int], list[tuple[int, int]]], soft: int, hard: int, limit: int, made: list[tuple[int, int]]
) -> None:
    calls = limits(soft, hard)
    assert raise_limit() == limit
    assert calls == made


def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, values: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 64


@pytest.mark.parametrize(("wanted", "limit", "fits"), [(100, 4096, 100), (5000, 4096, 4096 - RESERVED), (100, 10, 1)])
def test_descriptors_are_kept_for_everything_else(wanted: int, limit: int, fits: int) -> None:
    assert connections_max(wanted, limit) == fits
