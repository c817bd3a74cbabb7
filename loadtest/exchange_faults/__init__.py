"""An exchange that misbehaves on demand: a proxy in front of a gateway that speaks Binance's dialect."""
