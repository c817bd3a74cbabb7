"""Admission and rate limits: origins, tokens, grants, addresses, connection counts. Knows no market and no dialect."""
