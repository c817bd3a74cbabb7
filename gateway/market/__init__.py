"""State and merge: what the market looks like now, from updates in any order. Pure."""
