"""The Helm chart has its own copy of the alerts: a chart holds no file from outside of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize(
    ("copy", "original"),
    [("gateway.yml", "rules.yml"), ("collector.yml", "collector_rules.yml")],
    ids=["gateway", "collector"],
)
def test_the_alerts_of_the_chart_are_those_of_prometheus(copy: str, original: str) -> None:
    kept = (DEPLOY / "helm" / "alerts" / copy).read_text(encoding="utf-8")
    written = (DEPLOY / "prometheus" / original).read_text(encoding="utf-8")
    assert kept == written, f"cp deploy/prometheus/{original} deploy/helm/alerts/{copy}"
