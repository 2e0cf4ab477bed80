"""Dagster's daemon as it runs in production: with its code server, its sensors and the runs that they start."""

import os
import signal
import socket
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import dagster as dg

from bc_ometria.demo.processes import end
from bc_ometria.home import PROJECT


class Daemon:
    """``dagster-daemon`` and a code server beside it, with the environment of this process.

    The runs are children of the code server. Each of the two has a session of its own, so that everything can be ended,
    or killed.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "daemon.log"
        self._workspace = folder / "workspace.yaml"
        self._processes: list[subprocess.Popen] = []

    def start(self) -> None:
        """Raises ``RuntimeError`` where the code server does not come up."""
        port = _free_port()
        self._workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: bc_ometria}}\n"
        )
        server = self._run("dagster", "api", "grpc", "-m", "bc_ometria.definitions", "-h", "127.0.0.1", "-p", str(port))
        while not _is_served(port):
            if server.poll() is not None:
                raise RuntimeError(f"the code server did not start:\n{self.said}")
            time.sleep(0.1)
        self._run("dagster._daemon", "run", "-w", str(self._workspace), "--log-level", "warning")

    def _run(self, *command: str) -> subprocess.Popen:
        with self._output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=output, stderr=output, cwd=PROJECT, start_new_session=True
            )
        self._processes.append(process)
        return process

    @property
    def said(self) -> str:
        """The end of what they wrote."""
        return self._output.read_text(errors="replace")[-4_000:]

    @property
    def is_alive(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def kill(self) -> None:
        """Have everything die at once, the run in flight with it, as when the machine loses its power."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def end(self) -> None:
        """The daemon first, so that no run is started any more."""
        while self._processes:
            end(self._processes.pop())


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _is_served(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def is_run_in_flight(instance: dg.DagsterInstance, for_s: float = 0) -> bool:
    """Whether a run of ``live_sync`` has been at work for so many seconds."""
    started = dg.RunsFilter(job_name="live_sync", statuses=[dg.DagsterRunStatus.STARTED])
    begun_before = time.time() - for_s
    return any((record.start_time or inf) <= begun_before for record in instance.get_run_records(started))


def runs_ended(instance: dg.DagsterInstance, since: float) -> list[tuple[dg.DagsterRunStatus, float]]:
    """How the runs of ``live_sync`` ended that began ``since`` (seconds since the epoch), and their seconds."""
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(job_name="live_sync", statuses=over))
    return [
        (record.dagster_run.status, record.end_time - record.start_time)
        for record in records
        if record.start_time and record.end_time and record.start_time >= since
    ]
