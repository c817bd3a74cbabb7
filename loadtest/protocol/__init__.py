"""The bytes and values that all parts of the harness share: WebSocket, dialects, Redis commands, stamps, messages."""
