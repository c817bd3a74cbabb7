"""Listening, handshakes, client sockets, the life cycle of the process, workers."""
