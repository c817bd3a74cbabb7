"""Redis in: names of keys and channels, payloads to updates, and the listeners that bring them."""
