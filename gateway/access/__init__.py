"""Who may in, and how much each may ask for: origins, tokens, addresses, rates. Knows no market and no dialect."""
