"""What a session writes to: a sink for one client, a batch of sinks for many. The socket: `server/client_socket.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.close_codes import Close


class Sink(Protocol):
    """Where a session's bytes go: a socket."""

    closing: bool
    """Whether the connection is ending: nothing more is written."""
    last_message_s: float
    """When the client last sent anything, on the loop's clock."""
    received_bytes: int
    """What the client has sent, frames and all."""

    @property
    def id(self) -> int:
        """What the log calls the connection."""
        ...

    @property
    def peer(self) -> str:
        """The other end's address: the client's, or that of a proxy before it."""
        ...

    @property
    def order(self) -> int:
        """Sinks near in it are near in the kernel's memory: written to one after the other they cost less."""
        ...

    def offer(self, frames: bytes) -> bool:
        """Write, unless earlier bytes have not left user space yet; says whether it did."""
        ...

    def busy(self) -> bool:
        """Whether earlier bytes have not left user space yet."""
        ...

    def unsent_bytes(self) -> int:
        """Bytes the kernel holds and has not sent yet."""
        ...

    def ping(self) -> None:
        """Show the client that the connection lives, and learn whether it does, unless earlier bytes wait."""
        ...

    def pause(self) -> None:
        """Read no more commands of the client for now."""
        ...

    def resume(self) -> None:
        """Read its commands again."""
        ...

    def abort(self) -> None:
        """End the connection now."""
        ...

    def abort_if_broken(self) -> None:
        """End the connection now if the client has reset it."""
        ...

    def close(self, reason: Close) -> None:
        """Send a close frame and end the connection."""
        ...

    def warn(self, retry_ms: int) -> None:
        """The connection ends soon: tell the client, and how long to wait before it connects anew."""
        ...

    def shutdown(self) -> None:
        """Write what is pending for the client, announce the end where its protocol does, and close."""
        ...


class Receiver(Protocol):
    """The owner of a socket, which learns what the client does."""

    def received(self, text: bytes) -> None:
        """The client sent a text message, or a binary one where its dialect takes those."""

    def lost(self) -> None:
        """The connection has ended; no further call follows."""

    def warned(self, retry_ms: int) -> None:
        """The gateway will shut down: tell the client to wait `retry_ms` before it reconnects."""

    def drained(self) -> None:
        """Bytes have waited for the client, and the kernel has taken all of them now."""

    def draining(self) -> None:
        """The gateway shuts down: write what is pending, then `close`."""


class SinkBatch(Protocol):
    """Many sinks in a fixed order, written to in one go."""

    def offer(self, places: Sequence[int], frames: Sequence[bytes]) -> list[int]:
        """Offer a frame, which is not empty, to the sink at each place; the places ascend. Returns the indexes of the
        frames that were not taken."""
        ...

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        """The places in [start, stop) of sinks whose kernel holds more than `most_bytes` unsent."""
        ...
