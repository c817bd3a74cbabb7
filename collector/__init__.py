"""Reads markets of exchanges and writes them into Redis, as the gateway's Redis contract says."""
