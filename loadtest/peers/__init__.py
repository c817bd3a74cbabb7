"""Servers that the gateway is compared with: programs of their own, in the environment of `make compare`."""
