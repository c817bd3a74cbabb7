"""Writes frames to many clients' sockets in one pass, with as little Python per socket as possible.

Must not decide which clients get what, or when. A write costs the kernel some microseconds whatever its size; this file
saves the interpreter's share, and writes to sockets in the order of the kernel's memory.
"""

from __future__ import annotations

import asyncio
import os
import sys
from bisect import bisect_left
from collections import deque
from fcntl import ioctl
from itertools import repeat
from operator import call
from typing import TYPE_CHECKING, Self, TypeVar, cast

from gateway.server.kernel_buffers import SIOCOUTQNSD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.sink import Sink
    from gateway.server.client_socket import ClientSocket

T = TypeVar("T")

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
        tls = [socket.tls for socket in sockets if socket.tls is not None]
        # All or none of a server's clients are behind TLS.
        self._encrypt = [each.encrypt_into for each in tls]
        self._encrypted = [each.encrypted for each in tls]
        self._proxied = [place for place, socket in enumerate(sockets) if socket.meter is not None]
        self._watched = set(self._proxied)

    @classmethod
    def of(cls, sinks: Sequence[Sink]) -> Self:
        """The sockets of a running gateway's sinks: there every sink is a client's socket."""
        return cls(cast("Sequence[ClientSocket]", sinks))

    def offer(self, places: Sequence[int], frames: Sequence[bytes]) -> list[int]:
        """Offer a frame, which is not empty, to the socket at each place.

        Returns the indexes of the frames that were not taken.
        """
        if not self._all_free(places):
            return self._offer_singly(places, frames)
        if self._encrypt:
            # All of it: what follows writes the results in the same order.
            deque(map(call, _picked(self._encrypt, places), frames), 0)
            frames = list(map(call, _picked(self._encrypted, places)))
        sent: list[int] = []
        try:
            sent.extend(map(os.write, _picked(self._descriptors, places), frames))
        except OSError:
            # The first one that failed and all after it are written singly.
            start, sockets = len(sent), self._sockets
            refused = [index for index in range(start, len(frames)) if not sockets[places[index]].send(frames[index])]
        else:
            refused = []
        if sent != list(map(len, frames[: len(sent)])):
            for place, size, frame in zip(places, sent, frames, strict=False):
                if size < len(frame):
                    self._sockets[place].keep(frame, size)
        return refused

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        """Places of sockets, from `start` to before `stop`, with more than `most_bytes` unsent in the kernel because
        the client's window is full, and of clients behind a proxy that do not answer pings in time.

        Of these, those that are new or were late are looked at in every call, wherever they are.
        """
        full = self._full(start, stop, most_bytes)
        first, end = bisect_left(self._proxied, start), bisect_left(self._proxied, stop)
        if not (places := self._watched.union(self._proxied[first:end])):
            return full
        now_s = asyncio.get_running_loop().time()
        sockets = {place: self._sockets[place] for place in places}
        late = [place for place, socket in sockets.items() if socket.lags(now_s)]
        self._watched = {place for place, socket in sockets.items() if socket.meter and socket.meter.is_watched(now_s)}
        return sorted({*full, *late})

    def _full(self, start: int, stop: int, most_bytes: int) -> list[int]:
        if sys.platform != "linux" or True in map(call, self._ending[start:stop]):
            return [place for place in range(start, stop) if self._sockets[place].unsent_bytes() > most_bytes]
        counts = map(ioctl, self._descriptors[start:stop], repeat(SIOCOUTQNSD), repeat(_COUNT))
        return [
            place
            for place, count in enumerate(counts, start)
            if count != _COUNT and int.from_bytes(count, sys.byteorder) > most_bytes
        ]

    def _all_free(self, places: Sequence[int]) -> bool:
        # A transport that is ending may have closed its descriptor, and the number may be another client's now.
        ending, buffered = _picked(self._ending, places), _picked(self._buffered, places)
        return True not in map(call, ending) and not any(map(call, buffered))

    def _offer_singly(self, places: Sequence[int], frames: Sequence[bytes]) -> list[int]:
        sockets = self._sockets
        return [index for index, place in enumerate(places) if not sockets[place].offer(frames[index])]


def _picked(of_all: list[T], places: Sequence[int]) -> Sequence[T]:
    """What belongs to these places, which ascend."""
    first, last = places[0], places[-1]
    if last - first == len(places) - 1:
        return of_all[first : last + 1]
    return [of_all[place] for place in places]
