"""The page of all metrics: names and meanings of the exporter, units and labels of deploy/METRICS.md."""

from __future__ import annotations

import re

from gateway.ops.metrics import DESCRIPTIONS
from scripts.docs.markdown import code, page, table
from scripts.docs.pages import ROOT

ROW = re.compile(r"(?m)^\| `gateway_([a-z_]+)(\{[a-z_,]+\})?` \| ([^|]*) \|")


def metrics() -> str:
    """The page."""
    told = {name: (labels, unit) for name, labels, unit in ROW.findall(METRICS.read_text(encoding="utf-8"))}
    rows = []
    for name, meaning in sorted(DESCRIPTIONS.items()):
        labels, unit = told.get(name, ("", ""))
        kind = "histogram" if "histogram" in unit else "counter" if name.endswith("_total") else "gauge"
        unit = unit.replace(", histogram", "").strip()
        rows.append((code(f"gateway_{name}"), code(labels.strip("{}")), kind, unit, meaning))
    return page(
        "# Metrics",
        "What `/metrics` exports, by name. [Dashboards and alerts](../deploy/METRICS.md) says what to do about each.",
        table(("metric", "labels", "type", "unit", "meaning"), rows),
    )


METRICS = ROOT / "deploy" / "METRICS.md"
