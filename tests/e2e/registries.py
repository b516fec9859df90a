"""Two real registries on loopback: olareg, which has the referrers API, and distribution, which has none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.e2e.processes import Process, free_port
from tests.e2e.toolbox import tool

READY_SECONDS = 20


@contextlib.contextmanager
def running_olareg(folder: Path) -> Iterator[str]:
    """Yield ``host:port`` of a registry with the referrers API."""
    port = free_port()
    argv = (tool("olareg"), "serve", "--addr", "127.0.0.1", "--port", str(port), "--store-type", "mem")
    with Process(argv, folder / "olareg.log") as process:
        yield _ready(process, port)


@contextlib.contextmanager
def running_distribution(folder: Path) -> Iterator[str]:
    """Yield ``host:port`` of a registry without the referrers API."""
    port = free_port()
    config = folder / "registry.yaml"
    settings = {"version": 0.1, "storage": {"inmemory": {}}, "http": {"addr": f"127.0.0.1:{port}"}}
    config.write_text(json.dumps(settings))
    with Process([tool("registry"), "serve", config], folder / "registry.log") as process:
        yield _ready(process, port)


def _ready(process: Process, port: int) -> str:
    host = f"127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"http://{host}/v2/", timeout=1).ok
        except requests.ConnectionError:
            return False

    process.ready(answers, READY_SECONDS)
    return host
