"""Kline gateway: crypto klines and tickers from Redis to charts and bots over WebSocket."""

__version__ = "0.1.0"
