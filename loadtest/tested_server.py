"""What a run needs of the server that it measures: a gateway, or one of the servers that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trustme

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.processes import Usage


class TestedServer(Protocol):
    """A server that runs."""

    host: str
    port: int

    def usage(self) -> Usage | None:
        """CPU and memory; None for one on another machine."""

    def metrics(self) -> dict[str, float]:
        """Figures that it exports; empty without any."""

    def log(self) -> str:
        """What it has logged in the gateway's format; empty otherwise."""

    def stop(self) -> int | None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM, in a folder that the caller removes."""

    chain: Path
    key: Path

    @classmethod
    def throwaway(cls, folder: Path) -> Certificate:
        """A certificate for 127.0.0.1 that nobody need trust."""
        issued = trustme.CA().issue_cert("127.0.0.1")
        certificate = cls(folder / "chain.pem", folder / "key.pem")
        issued.private_key_pem.write_to_path(str(certificate.key))
        certificate.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate
