"""The status of a gateway: whether users get fresh data, and if not, why."""
