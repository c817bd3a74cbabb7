"""A short run of the whole chain, broken on both sides: the clients and the history have what the exchange made."""

from __future__ import annotations

import logging

import pytest

from loadtest.chain.cost import measure
from loadtest.chain.run import run, summary

pytestmark = pytest.mark.alone

logger = logging.getLogger(__name__)


@pytest.mark.timeout(240)
async def test_what_the_exchange_makes_arrives_at_the_clients_whatever_breaks_between() -> None:
    outcome = await run(0.5, 7, logger.info, symbols=4, clients=2)
    assert outcome.passed, summary(outcome)
    assert outcome.klines > 50
    assert outcome.played.total() >= 4


@pytest.mark.timeout(120)
async def test_the_cost_of_a_collector_is_measured() -> None:
    cost = await measure(20, 100, 3, logger.info)
    assert cost.events > 0
    assert cost.forming_ms
    assert cost.cpu_percent > 0
