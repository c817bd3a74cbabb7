"""Seen at a glance: whether users get fresh data, and if not, why."""
