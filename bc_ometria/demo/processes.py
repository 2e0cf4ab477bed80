"""Processes beside this one, each with its children in a session of its own."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def start_sandbox(
    arguments: Sequence[str], *, ports: tuple[int, int] = (8801, 8802)
) -> tuple[subprocess.Popen, dict[str, str]]:
    """Start ``bc-ometria sandbox`` and wait until it serves; returns the process and the variables to set.

    Raises ``RuntimeError`` where it ends before it serves, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        env_file, said = Path(folder) / "sandbox.env", Path(folder) / "said"
        command = [sys.executable, "-m", "bc_ometria.cli", "sandbox", "--env-file", str(env_file)]
        command += ["--blue-cherry-port", str(ports[0]), "--ometria-port", str(ports[1]), *arguments]
        with said.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        while not env_file.exists() or not env_file.read_text().endswith("\n"):
            if process.poll() is not None:
                raise RuntimeError(f"the sandbox did not start:\n{said.read_text()}")
            time.sleep(0.05)
        lines = env_file.read_text().splitlines()
    return process, dict(shlex.split(line)[1].split("=", 1) for line in lines)


def end(process: subprocess.Popen, patience: float = 20.0) -> None:
    """End a process that was started in a session of its own, and all its children with it.

    They are asked first, and killed where they have not ended after ``patience`` seconds.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
