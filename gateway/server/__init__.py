"""The web server: listening, handshakes, client sockets, the life cycle of the process, workers."""
