"""What the words mean: symbols, intervals, klines and tickers as plain immutable values."""
