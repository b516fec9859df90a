"""Processes that belong to a test run: started with a log file, waited for, and ended by their own pid in any case."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

TERM_SECONDS = 10  # between asking a process to end and ending it
POLL_SECONDS = 0.05
TAIL = 3000  # characters of a log that a failure shows


_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now and that was not returned before."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once ``condition()`` is true; raise AssertionError when ``what`` did not happen in ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(POLL_SECONDS)


class Process:
    """A running program with its output in a log file. Leaving the context ends it, also after a failure."""

    def __init__(self, argv: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None) -> None:
        """Start ``argv`` with exactly ``environ`` (default: PATH and a HOME beside the log)."""
        self.name = Path(argv[0]).name
        self.log = log
        home = log.parent / "home"
        home.mkdir(exist_ok=True)
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches the test run first, which then ends the process in order.
            self._running = subprocess.Popen(
                [str(each) for each in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={"PATH": os.environ["PATH"], "HOME": str(home)} | dict(environ or {}),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        code = self._running.poll()
        self.stop()
        assert code is None, f"{self.name} ended by itself with {code}; its log ends with:\n{self.tail()}"

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._running.pid

    def ready(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return once ``condition()`` is true; raise AssertionError with the log's end if it ends or takes too long."""

        def settled() -> bool:
            return condition() or self._running.poll() is not None

        try:
            wait_until(settled, seconds, f"{self.name} is ready")
            assert self._running.poll() is None, f"{self.name} ended with {self._running.returncode}"
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; its log ends with:\n{self.tail()}") from None

    def wait(self, seconds: float) -> int:
        """Return the exit code once it has ended by itself; raise AssertionError if it does not in ``seconds``."""
        wait_until(lambda: self._running.poll() is not None, seconds, f"{self.name} has ended")
        return self.stop()

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-TAIL:]

    def stop(self) -> int:
        """End the process, with its children where it does not go by itself, and return its exit code."""
        if self._running.poll() is None:
            self._running.terminate()
        try:
            return self._running.wait(TERM_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._running.pid, signal.SIGKILL)
            return self._running.wait()
