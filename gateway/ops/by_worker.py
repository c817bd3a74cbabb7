"""Metrics of several processes in Prometheus' text format as one text, each sample with a `worker` label. Pure.

Not added up: when one process ends its counters start at zero again, and a sum that falls looks like a restart of
them all. `sum without (worker) (rate(...))` is right in that moment too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def by_worker(texts: Mapping[int, str]) -> str:
    """The families in the order in which they appear, each once with the samples of all workers."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, text in texts.items():
        heads: list[str] = []
        samples: list[str] = []
        for line in text.splitlines():
            if line.startswith("# "):
                _, kind, name, *_ = line.split(" ", 3)
                heads, samples = families.setdefault(name, ([], []))
                if not any(head.startswith(f"# {kind} ") for head in heads):
                    heads.append(line)
            elif line:
                samples.append(_labelled(line, number))
    return "".join(f"{line}\n" for heads, samples in families.values() for line in (*heads, *samples))


def _labelled(sample: str, number: int) -> str:
    """A metric's name holds neither a brace nor a blank: the first of them ends it."""
    name, blank, rest = sample.partition(" ")
    if "{" not in name:
        return f'{name}{{worker="{number}"}}{blank}{rest}'
    name, _, rest = sample.partition("{")
    return f'{name}{{worker="{number}",{rest}'
