"""Stored klines: read, cached, and merged with the live market into one ascending list."""
