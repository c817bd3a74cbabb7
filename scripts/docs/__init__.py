"""Builds the documentation site into `gateway/site`: `make docs`."""
