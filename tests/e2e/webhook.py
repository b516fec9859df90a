"""gate as it is deployed: ``gate serve`` with its settings, registered by the project's own manifest."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import requests
import yaml

from tests.e2e.cluster import SETTLE_SECONDS, Cluster
from tests.e2e.cosign import KeyPair
from tests.e2e.kubeapi import Object, must
from tests.e2e.pki import Authority
from tests.e2e.processes import Process, free_port, wait_until
from tests.e2e.syncs import GIT, Sync
from tests.e2e.toolbox import CHECKOUT

READY_SECONDS = 20
MANIFEST = CHECKOUT / "manifests" / "base" / "validatingwebhookconfiguration.yaml"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

_probes = itertools.count(1)


class GateServer:
    """``gate serve`` on loopback. It can be stopped and started again at the same address."""

    def __init__(self, folder: Path, keys: KeyPair, registries: Sequence[Object], **settings: str) -> None:
        """Write what its settings name, GATE_REGISTRIES too, into ``folder``; ``settings`` are further variables."""
        self.port = free_port()
        self.log = folder / "gate.log"
        self.authority = Authority(folder, "gate-ca")
        certificate, key = self.authority.issue("gate")
        self.registries = folder / "registries.yaml"
        self.registries.write_text(yaml.safe_dump(list(registries)))
        state = folder / "state"
        state.mkdir()
        self.environ = {
            "GATE_PORT": str(self.port),
            "GATE_METRICS_PORT": str(free_port()),
            "GATE_TLS_CERT": str(certificate),
            "GATE_TLS_KEY": str(key),
            "GATE_KEY": str(keys.public),
            "GATE_REGISTRIES": str(self.registries),
            "GATE_STATE_DIR": str(state),
            **settings,
        }
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and return when it says that it is ready."""
        self._process = self.launch()
        self._process.ready(self._ready, READY_SECONDS)

    def launch(self) -> Process:
        """Start it and return at once."""
        return Process([gate_program(), "serve"], self.log, self.environ)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _ready(self) -> bool:
        try:
            answer = requests.get(
                f"https://localhost:{self.port}/readyz", verify=str(self.authority.certificate), timeout=2
            )
        except requests.RequestException:
            return False
        return answer.ok

    def decisions(self) -> list[Object]:
        """Return the decision records of the log so far, oldest first."""
        records = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [each["decision"] for each in records if each["event"] == "decision"]


def plain_http(host: str) -> Object:
    """Return what GATE_REGISTRIES says of a registry that speaks plain HTTP on loopback."""
    return {"host": host, "plainHTTP": True, "allowPrivate": True}


def gate_program() -> Path:
    """Return the ``gate`` of the environment that the tests run in."""
    return Path(sys.executable).parent / "gate"


def configuration(url: str, authority: Path) -> Object:
    """Return the project's ValidatingWebhookConfiguration with ``url`` in the place of its Service."""
    return pointed(yaml.safe_load(MANIFEST.read_text()), url, authority)


def pointed(manifest: Object, url: str, authority: Path) -> Object:
    """Return a ValidatingWebhookConfiguration with ``url`` in the place of its Service."""
    bundle = base64.b64encode(authority.read_bytes()).decode()
    for webhook in manifest["webhooks"]:
        path = webhook["clientConfig"]["service"]["path"]
        webhook["clientConfig"] = {"url": url + path, "caBundle": bundle}
    return manifest


def register(cluster: Cluster, server: GateServer, manifest: Object | None = None) -> None:
    """Register ``server`` as the project's manifest says, or ``manifest``; return when the API server asks it."""
    url, authority = f"https://localhost:{server.port}", server.authority.certificate
    manifest = configuration(url, authority) if manifest is None else pointed(manifest, url, authority)
    must(cluster.admin.create(CONFIGURATIONS, manifest))
    _wait_until_asked(cluster, server)


@contextlib.contextmanager
def registered_instead(cluster: Cluster, other: GateServer, server: GateServer) -> Iterator[None]:
    """Let the API server ask ``other`` in the place of ``server``, which is registered, until the context is left."""

    def point(to: GateServer) -> None:
        manifest = configuration(f"https://localhost:{to.port}", to.authority.certificate)
        path = f"{CONFIGURATIONS}/{manifest['metadata']['name']}"
        must(cluster.admin.merge(path, {"webhooks": manifest["webhooks"]}))
        _wait_until_asked(cluster, to)

    try:
        point(other)
        yield
    finally:
        point(server)


def _wait_until_asked(cluster: Cluster, server: GateServer) -> None:
    probe = Sync("RootSync", f"probe-{next(_probes)}")

    def asked() -> bool:
        cluster.admin.create(f"{probe.list_path()}?dryRun=All", probe.object(GIT))
        return any(record["name"] == probe.name for record in server.decisions())

    wait_until(asked, SETTLE_SECONDS, "the API server asks gate")
