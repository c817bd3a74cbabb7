"""Hostile clients: what they send, and how the gateway must end each connection."""
