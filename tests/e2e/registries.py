"""Real registries on loopback: olareg, which has the referrers API, and distribution, which has none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.e2e.pki import Authority
from tests.e2e.processes import Process, free_port
from tests.e2e.toolbox import tool

READY_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Tls:
    """A server's certificate, its key, and the authority that signed it: PEM files."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def issued(cls, authority: Authority, name: str, *hosts: str) -> Tls:
        """Return a certificate of ``authority`` for loopback and ``hosts``."""
        return cls(authority.certificate, *authority.issue(name, hosts=hosts))


@contextlib.contextmanager
def running_olareg(
    folder: Path, *flags: str, name: str = "olareg", tls: Tls | None = None, store: Path | None = None
) -> Iterator[str]:
    """Yield ``host:port`` of a registry with the referrers API; ``name`` names its log in ``folder``.

    What it holds is in memory, or in the directory ``store``, where the next one finds it.
    """
    port = free_port()
    argv: list[str | Path] = [
        tool("olareg"),
        "serve",
        "--addr",
        "127.0.0.1",
        "--port",
        str(port),
        *(("--store-type", "mem") if store is None else ("--store-type", "dir", "--dir", store)),
        *flags,
    ]
    if tls is not None:
        argv += ["--tls-cert", tls.certificate, "--tls-key", tls.key]
    with Process(argv, folder / f"{name}.log") as process:
        yield _ready(process, port, tls)


@contextlib.contextmanager
def running_distribution(
    folder: Path, *, name: str = "registry", tls: Tls | None = None, auth: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Yield ``host:port`` of a registry without the referrers API; ``auth`` is that section of its configuration."""
    port = free_port()
    config = folder / f"{name}.yaml"
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    settings = {"version": 0.1, "storage": {"inmemory": {}}, "http": http, **({} if auth is None else {"auth": auth})}
    config.write_text(json.dumps(settings))
    with Process([tool("registry"), "serve", config], folder / f"{name}.log") as process:
        yield _ready(process, port, tls)


def _ready(process: Process, port: int, tls: Tls | None) -> str:
    host = f"127.0.0.1:{port}"
    url, verify = (f"http://{host}/v2/", True) if tls is None else (f"https://{host}/v2/", str(tls.authority))

    def answers() -> bool:
        try:
            status = requests.get(url, timeout=1, verify=verify).status_code
        except requests.ConnectionError:
            return False
        return status in (requests.codes.ok, requests.codes.unauthorized)

    process.ready(answers, READY_SECONDS)
    return host
