"""The past: stored klines read, kept and joined with the live market into one ascending list."""
