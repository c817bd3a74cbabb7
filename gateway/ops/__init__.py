"""Seeing inside: logs, metrics and health."""
