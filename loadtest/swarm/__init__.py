"""The clients of a run: stream clients in an epoll loop, and HTTP requests beside them."""
