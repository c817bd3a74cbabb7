"""The way to a Redis: one server, one behind Sentinel, or a cluster."""
