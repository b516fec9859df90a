"""An API server on loopback, and a pod's identity for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.kube.api import KubernetesApi, in_cluster
from tests.fakes.hostile import Authority, Hostile, make_authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("kube"), "127.0.0.1")


@pytest.fixture
def server(authority: Authority) -> Iterator[Hostile]:
    with Hostile(tls=authority.server) as server:
        yield server


@pytest.fixture
def mount(tmp_path: Path, authority: Authority) -> Path:
    (tmp_path / "token").write_text("pod-identity")
    (tmp_path / "namespace").write_text("oci-webhook\n")
    (tmp_path / "ca.crt").write_bytes(authority.ca_file.read_bytes())
    return tmp_path


@pytest.fixture
def api(server: Hostile, mount: Path) -> Iterator[KubernetesApi]:
    api = in_cluster(environment(server), mount)
    yield api
    api.close()


def environment(server: Hostile) -> dict[str, str]:
    host, _, port = server.host.partition(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
