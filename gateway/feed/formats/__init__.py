"""Payload formats of other people's collectors. `feed/decode.py` decodes the contract's own."""
