"""Many clients' sockets, written to one after the other without Python in between.

Decides nothing about whom or when. A write costs the kernel some microseconds whatever is written; what this file saves
is the interpreter's share, and it visits sockets in the order in which the kernel has laid them out.
"""

from __future__ import annotations

import os
import sys
from fcntl import ioctl
from itertools import repeat
from operator import call
from typing import TYPE_CHECKING

from gateway.server.client_socket import SIOCOUTQNSD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.server.client_socket import ClientSocket

_COUNT = bytes(4)


class SocketBatch:
    """Sockets in a fixed order. What `ClientSocket.offer` checks for one is checked here for a slice at a time: nothing
    can come between the checks and the writes, as nothing here awaits."""

    def __init__(self, sockets: Sequence[ClientSocket]) -> None:
        self._sockets = sockets
        self._descriptors = [socket.descriptor for socket in sockets]
        self._buffered = [socket.buffered for socket in sockets]
        self._ending = [socket.ending for socket in sockets]
        self._direct = all(socket.direct for socket in sockets)

    def offer(self, start: int, frames: Sequence[bytes]) -> list[int]:
        """Offer a frame each to the sockets from `start` on, nothing where it is empty; returns the places that did not
        take theirs."""
        stop = start + len(frames)
        if not (self._direct and all(frames) and self._all_free(start, stop)):
            return self._offer_singly(start, frames)
        sent: list[int] = []
        try:
            sent.extend(map(os.write, self._descriptors[start:stop], frames))
        except OSError:
            # The first that failed, and all after it: one by one.
            missed = self._offer_singly(start + len(sent), frames[len(sent) :])
        else:
            missed = []
        if sent != list(map(len, frames[: len(sent)])):
            for place, (size, frame) in enumerate(zip(sent, frames, strict=False), start):
                if size < len(frame):
                    self._sockets[place].keep(frame, size)
        return missed

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        """The places whose kernel holds more than `most_bytes` unsent, because the client's window is full."""
        if sys.platform != "linux" or True in map(call, self._ending[start:stop]):
            log_offsets = range(start, stop)
            return [place for place in log_offsets if self._sockets[place].unsent_bytes() > most_bytes]
        counts = map(ioctl, self._descriptors[start:stop], repeat(SIOCOUTQNSD), repeat(_COUNT))
        return [
            place
            for place, count in enumerate(counts, start)
            if count != _COUNT and int.from_bytes(count, sys.byteorder) > most_bytes
        ]

    def _all_free(self, start: int, stop: int) -> bool:
        # A transport that ends has closed its descriptor, and the number may be another client's now.
        return True not in map(call, self._ending[start:stop]) and not any(map(call, self._buffered[start:stop]))

    def _offer_singly(self, start: int, frames: Sequence[bytes]) -> list[int]:
        sockets = self._sockets
        return [place for place, frame in enumerate(frames, start) if frame and not sockets[place].offer(frame)]
