"""The kernel's buffers of a client's socket: how much they may hold, how much they do, and how they are discarded."""

from __future__ import annotations

import os
import socket
import struct
import sys
from fcntl import ioctl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# Linux's numbers; Python does not name them.
SIOCOUTQNSD = 0x894B
SIOCOUTQ = 0x5411
TCP_NOTSENT_LOWAT = 25


def shrink(transport: asyncio.Transport, send_buffer_bytes: int, unsent_bytes: int) -> None:
    """Limit what the kernel takes for a client: all of it, and what it has not sent yet; 0: the system's default."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return
    if send_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    if unsent_bytes and hasattr(socket, "TCP_NODELAY") and os.uname().sysname == "Linux":
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_bytes)


def unsent_bytes(descriptor: int) -> int:
    """Bytes that the kernel holds because the client's window is full; 0 where it does not say."""
    if sys.platform != "linux":
        return 0
    return int.from_bytes(ioctl(descriptor, SIOCOUTQNSD, bytes(4)), sys.byteorder)


def unacknowledged_bytes(descriptor: int) -> int:
    """Bytes whose arrival the client's machine has not confirmed; 0 where the kernel does not say."""
    if sys.platform != "linux":
        return 0
    return int.from_bytes(ioctl(descriptor, SIOCOUTQ, bytes(4)), sys.byteorder)


def reset(transport: asyncio.Transport) -> None:
    """End a connection whose client reads nothing; the kernel discards what it still holds."""
    if not transport.is_closing() or transport.get_write_buffer_size():
        lingers, seconds = 1, 0
        linger = struct.pack("ii", lingers, seconds)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
