"""The archive: every closed kline that the gateway has learned, for as long as the operator wants to keep it."""
