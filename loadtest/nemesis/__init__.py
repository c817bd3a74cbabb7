"""Faults on purpose: a small world of real processes, broken in known ways, and the proof that nothing was lost."""
