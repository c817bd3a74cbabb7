"""One client: its subscriptions, its tier, what it is owed, and what it may ask for. Pure."""
