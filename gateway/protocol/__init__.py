"""Bytes out, one file a dialect: news and replies to frames, and commands from text."""
