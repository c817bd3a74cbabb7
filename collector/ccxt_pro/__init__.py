"""Any other exchange, through the library ccxt (its part ccxt.pro): one `Exchange` for all that it can stream."""
