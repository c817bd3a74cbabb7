"""How many examples a property is tried with: all of them where everything is tried (`LONG=1`), else a third."""

from __future__ import annotations

import os

EXAMPLES = 100 if os.environ.get("LONG") else 33
