"""Ctrl-C at a real terminal, through a real make; and a terminal that is closed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.checkout import ROOT
from tests.parts.appliance import eventually, launcher_environment

# Runs its arguments at a terminal of their own; what is written to its standard input is typed there.
AT_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
LAUNCHER = """
import contextlib, signal, sys
from processes.launcher.terminal import own_terminal
with own_terminal() if sys.argv[1] == "owned" else contextlib.nullcontext():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    print("ready", flush=True)
    signal.sigwait({signal.SIGINT})
    print("stopped in good order", flush=True)
sys.exit(int(sys.argv[2]))
"""


@pytest.mark.parametrize(("exit_code", "of_make"), [(0, 0), (78, 2)])
def test_ctrl_c_when_the_launcher_owns_the_terminal_then_make_returns_as_it_does(
    tmp_path: Path, exit_code: int, of_make: int
) -> None:
    returncode, output = _interrupt_make(tmp_path, "owned", exit_code)
    assert returncode == of_make, output
    assert "stopped in good order" in output


def test_ctrl_c_when_the_terminal_is_shared_then_make_gives_up(tmp_path: Path) -> None:
    """Shows that the test above can fail."""
    returncode, output = _interrupt_make(tmp_path, "shared", 0)
    assert returncode != 0, output


def _interrupt_make(folder: Path, how: str, exit_code: int) -> tuple[int, str]:
    (folder / "launcher.py").write_text(LAUNCHER, encoding="utf-8")
    recipe = f".PHONY: run\nrun:\n\t@exec {sys.executable} {folder}/launcher.py {how} {exit_code}\n"
    (folder / "Makefile").write_text(recipe, encoding="utf-8")
    command = [sys.executable, "-c", AT_A_TERMINAL, "make", "-s", "-f", str(folder / "Makefile")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline().strip() == b"ready"
        process.stdin.write(b"\x03")
        process.stdin.flush()
        output = process.stdout.read().decode()
        return process.wait(), output


# Opens a terminal whose shell starts the launcher, and closes it once the appliance is ready. The shell dies
# of that, whereupon the kernel sends SIGHUP to the launcher, as the foreground process. What is between the
# two writes the launcher's exit code to a file.
CLOSED_TERMINAL = """
import os, pty, subprocess, sys
pid, terminal = pty.fork()
if pid == 0:
    os._exit(subprocess.call([sys.executable, "-c", sys.argv[1], sys.argv[2]]))
said = b""
while b"appliance_ready" not in said:
    said += os.read(terminal, 65536)
os.close(terminal)
"""
BETWEEN = """
import pathlib, subprocess, sys
code = subprocess.call([sys.executable, "-m", "processes.launcher"])
pathlib.Path(sys.argv[1] + ".new").write_text(str(code))
pathlib.Path(sys.argv[1] + ".new").rename(sys.argv[1])
"""


@pytest.mark.timeout(120)
def test_launcher_when_its_terminal_is_closed_then_it_stops_in_good_order(run_dir: Path) -> None:
    code = run_dir / "code"
    subprocess.run(
        [sys.executable, "-c", CLOSED_TERMINAL, BETWEEN, str(code)],
        cwd=ROOT,
        env=launcher_environment(run_dir),
        check=True,
        timeout=100,
    )
    eventually(code.exists)
    assert code.read_text(encoding="ascii") == "0"
