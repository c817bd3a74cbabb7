"""The whole chain: simulated exchange -> collector -> Redis -> gateway -> clients, broken everywhere and compared."""
