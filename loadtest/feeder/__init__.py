"""The feeder process: publishes tickers and klines at the rate of the scenario."""
