"""What a collector has written, for its log and its metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WriteCounts:
    """Since the start."""

    commands: int = 0
    """Sent to Redis, those inside of scripts included: what hosted Redis bills."""
    sent_bytes: int = 0
    events: int = 0
    closed: int = 0
    failures: int = 0
