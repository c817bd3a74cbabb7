"""Replays: what is stored, sent again in the order and at a multiple of the pace in which it happened."""
