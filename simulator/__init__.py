"""A Redis-compatible server and a market to play with: for `gateway demo`, `gateway simulate` and the tests."""
