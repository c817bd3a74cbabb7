"""Writes frames to many clients' sockets in one pass, with as little Python per socket as possible.

Must not decide which clients get what, or when. A write costs the kernel some microseconds whatever its size; this file
saves the interpreter's share, and writes to sockets in the order of the kernel's memory.
"""

from __future__ import annotations

import os
import sys
from fcntl import ioctl
from itertools import repeat
from operator import call
from typing import TYPE_CHECKING, Self, cast

from gateway.server.client_socket import SIOCOUTQNSD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.sink import Sink
    from gateway.server.client_socket import ClientSocket

_COUNT = bytes(4)


class SocketBatch:
    """Sockets in a fixed order.

    The checks of `ClientSocket.offer` are made for a whole slice: nothing here awaits, so nothing happens between the
    checks and the writes.
    """

    def __init__(self, sockets: Sequence[ClientSocket]) -> None:
        self._sockets = sockets
        self._descriptors = [socket.descriptor for socket in sockets]
        self._buffered = [socket.buffered for socket in sockets]
        self._ending = [socket.ending for socket in sockets]
        self._direct = all(socket.direct for socket in sockets)

    @classmethod
    def of(cls, sinks: Sequence[Sink]) -> Self:
        """The sockets of a running gateway's sinks: there every sink is a client's socket."""
        return cls(cast("Sequence[ClientSocket]", sinks))

    def offer(self, start: int, frames: Sequence[bytes]) -> list[int]:
        """Offer one frame to each socket from index `start` on, nothing where the frame is empty.

        Returns the indexes of the sockets that did not take theirs.
        """
        stop = start + len(frames)
        if not (self._direct and all(frames) and self._all_free(start, stop)):
            return self._offer_singly(start, frames)
        sent: list[int] = []
        try:
            sent.extend(map(os.write, self._descriptors[start:stop], frames))
        except OSError:
            # The first one that failed and all after it are offered singly.
            refused = self._offer_singly(start + len(sent), frames[len(sent) :])
        else:
            refused = []
        if sent != list(map(len, frames[: len(sent)])):
            for index, (size, frame) in enumerate(zip(sent, frames, strict=False), start):
                if size < len(frame):
                    self._sockets[index].keep(frame, size)
        return refused

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        """Indexes of sockets with more than `most_bytes` unsent in the kernel because the client's window is full."""
        if sys.platform != "linux" or True in map(call, self._ending[start:stop]):
            return [index for index in range(start, stop) if self._sockets[index].unsent_bytes() > most_bytes]
        counts = map(ioctl, self._descriptors[start:stop], repeat(SIOCOUTQNSD), repeat(_COUNT))
        return [
            index
            for index, count in enumerate(counts, start)
            if count != _COUNT and int.from_bytes(count, sys.byteorder) > most_bytes
        ]

    def _all_free(self, start: int, stop: int) -> bool:
        # A transport that is ending may have closed its descriptor, and the number may be another client's now.
        return True not in map(call, self._ending[start:stop]) and not any(map(call, self._buffered[start:stop]))

    def _offer_singly(self, start: int, frames: Sequence[bytes]) -> list[int]:
        sockets = self._sockets
        return [index for index, frame in enumerate(frames, start) if frame and not sockets[index].offer(frame)]
