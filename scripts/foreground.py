"""Runs a command as the terminal's foreground job, so that Ctrl-C stops the command and not the `make` around it.

`make` that gets Ctrl-C itself reports an interrupted target and fails, however cleanly the command ended.
The command gets its own process group and, for its lifetime, the terminal; its exit status is passed on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def run(command: list[str]) -> int:
    """Run `command` to its end; what is signalled to us (by `make`, or a supervisor) goes to it."""
    child = subprocess.Popen(command, process_group=0)

    def forward(number: int, _frame: FrameType | None) -> None:
        # Not `child.send_signal`: it may collect the exit status that the loop below waits for.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    # Giving the terminal away and taking it back would otherwise stop us: we are in the background meanwhile.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    terminal = _own_terminal()
    try:
        while True:
            _give(terminal, child.pid)
            _, status = os.waitpid(child.pid, os.WUNTRACED)
            _give(terminal, os.getpgrp())
            if not os.WIFSTOPPED(status):
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode if child.returncode >= 0 else 128 - child.returncode
            # Ctrl-Z: stop with the command, and go on with it when the shell continues us.
            os.killpg(0, signal.SIGSTOP)
            os.killpg(child.pid, signal.SIGCONT)
    finally:
        _give(terminal, os.getpgrp())


def _own_terminal() -> int | None:
    """The terminal, if we hold it: a job in the background must not take it from the shell."""
    if sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
        return sys.stdin.fileno()
    return None


def _give(terminal: int | None, group: int) -> None:
    if terminal is not None:
        with contextlib.suppress(OSError):  # the terminal was closed
            os.tcsetpgrp(terminal, group)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
