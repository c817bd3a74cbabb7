"""A simulated exchange, its collector, a Redis-compatible server: for `gateway demo`, `gateway simulate` and tests."""
