"""Binance, spot and USD-M futures, by their own protocol."""
