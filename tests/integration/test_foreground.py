"""`scripts/foreground.py` in a real terminal: Ctrl-C stops the command, and `make` around it does not fail."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(int(sys.argv[1])))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[1])))
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    (tmp_path / "command.py").write_text(COMMAND)
    path = tmp_path / "Makefile"
    path.write_text(
        f"run:\n\t@{sys.executable} {ROOT}/scripts/foreground.py {sys.executable} {tmp_path}/command.py $(STATUS)\n"
        "\t@echo and on\n"
    )
    return path


def in_terminal(arguments: list[str], action: Callable[[int, int], None]) -> tuple[int, str]:
    """Run it in a terminal of its own, do `action(pid, terminal)` when it is ready; exit status and what was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(arguments[0], arguments)
    shown = b""
    acted = False
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # everybody who had the terminal open is gone
            break
        if b"ready" in shown and not acted:
            acted = True
            action(pid, terminal)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def press_ctrl_c(_pid: int, terminal: int) -> None:
    os.write(terminal, b"\x03")


def test_after_ctrl_c_make_continues_if_the_command_succeeded(makefile: Path) -> None:
    status, shown = in_terminal(["make", "-f", str(makefile), "STATUS=0"], press_ctrl_c)
    assert status == 0
    assert "and on" in shown
    assert "***" not in shown


def test_a_failure_of_the_command_is_passed_on(makefile: Path) -> None:
    status, shown = in_terminal(["make", "-f", str(makefile), "STATUS=7"], press_ctrl_c)
    assert status == 2
    assert "Error 7" in shown


def test_a_terminated_make_ends_the_command(makefile: Path) -> None:
    def end(pid: int, _terminal: int) -> None:
        os.kill(pid, signal.SIGTERM)

    # The terminal closes when the last process is gone: that we get here says that the command is.
    status, _ = in_terminal(["make", "-f", str(makefile), "STATUS=0"], end)
    assert status == -signal.SIGTERM


def test_without_a_terminal_signals_are_passed_on(makefile: Path) -> None:
    script = [sys.executable, f"{ROOT}/scripts/foreground.py", sys.executable, str(makefile.with_name("command.py"))]
    with subprocess.Popen([*script, "5"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 5


def test_a_command_killed_by_a_signal_ends_as_a_shell_would_report_it(tmp_path: Path) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    result = subprocess.run(
        [sys.executable, f"{ROOT}/scripts/foreground.py", sys.executable, "-c", kill], check=False, cwd=tmp_path
    )
    assert result.returncode == 128 + signal.SIGKILL
