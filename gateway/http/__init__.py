"""The thin HTTP and WebSocket edge: one file a dialect. No merge, throttle or encoding rules, no market data sent."""
