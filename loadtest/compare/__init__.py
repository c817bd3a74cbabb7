"""The gateway beside other servers: the same clients, the same feed, one table."""
