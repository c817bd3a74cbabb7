"""The archive of the Helm chart, as `helm package` makes it, but the same bytes every time."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def pack_chart(folder: Path, out: Path, epoch_s: int) -> Path:
    """Pack the chart in `folder` into `out`, under its name and version; every file is of the time `epoch_s`."""
    described = (folder / "Chart.yaml").read_text(encoding="utf-8")
    name, version = (
        re.findall(rf"^{key}: *\"?([^\s\"]+)\"? *$", described, re.MULTILINE)[0] for key in ("name", "version")
    )
    packed = out / f"{name}-{version}.tgz"
    with (
        packed.open("wb") as file,
        gzip.GzipFile("", "wb", mtime=epoch_s, fileobj=file) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                # Everything else of the entry stays as it is by default: of nobody, and not executable.
                entry = tarfile.TarInfo(f"{name}/{path.relative_to(folder).as_posix()}")
                entry.size, entry.mtime = len(content), epoch_s
                archive.addfile(entry, io.BytesIO(content))
    return packed
