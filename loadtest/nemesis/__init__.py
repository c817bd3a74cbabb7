"""Faults on purpose: a small system of real processes, broken in known ways, and the proof that nothing was lost."""
