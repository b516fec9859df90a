"""One key of a Secret, read from an API server on loopback with the pod's own identity."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from gate.core.errors import ConfigError, UnavailableError
from gate.kube.api import ANSWER_BYTES, KubernetesApi, in_cluster, own_namespace
from gate.kube.secrets import read_secret_key
from tests.fakes.hostile import Hostile, Raw, Reply, as_json, make_authority, redirect
from tests.integration.kube.conftest import environment

PATH = "/api/v1/namespaces/oci-webhook/secrets/registry-token"


def secret(**data: str) -> Reply:
    return as_json({"kind": "Secret", "data": data})


def read(api: KubernetesApi, timeout: float = 2.0) -> bytes:
    return read_secret_key(api, "oci-webhook", "registry-token", "token", timeout)


def test_the_key_is_read_with_the_pods_identity(api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, secret(token=base64.b64encode(b"ya29\n").decode()))
    assert read(api) == b"ya29\n"
    assert server.seen[0].headers["authorization"].lower() == "bearer pod-identity"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(404), "there is no Secret"),
        (Reply(403), "may not read"),
        (Reply(401), "may not read"),
        (secret(other="YQ=="), "has no key"),
        (as_json({"kind": "Secret"}), "has no key"),
        (as_json({"data": {"token": 7}}), "has no key"),
        (secret(token="not base64!"), "is not base64"),
    ],
)
def test_a_secret_that_is_not_there_is_the_operators_to_mend(
    api: KubernetesApi, server: Hostile, reply: Reply, message: str
) -> None:
    server.on(PATH, reply)
    with pytest.raises(ConfigError, match=message):
        read(api)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Reply(500),
        Reply(503, b"", (("Retry-After", "1"),)),
        Reply(429, b"", (("Retry-After", "1"),)),
        Reply(200, b"[]"),
        Reply(200, b'{"data":[1]}'),
        Reply(200, b"\xff"),
        Reply(200, b" " * (ANSWER_BYTES + 1)),
        Raw(),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"),
        redirect("/elsewhere"),
    ],
)
def test_an_api_server_that_does_not_answer_is_asked_once(
    api: KubernetesApi, server: Hostile, answer: Reply | Raw
) -> None:
    server.on(PATH, answer)
    with pytest.raises(UnavailableError) as caught:
        read(api)
    assert not caught.value.outage
    assert len(server.seen) == 1


def test_a_stalled_api_server_is_left_at_the_timeout(api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, Raw(then="stall"))
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        read(api, 0.2)
    assert time.monotonic() - started < 1


def test_an_api_server_that_is_not_there_is_unavailable(server: Hostile, mount: Path) -> None:
    api = in_cluster(environment(server), mount)
    server.__exit__()
    with pytest.raises(UnavailableError):
        read(api)
    api.close()


def test_another_authoritys_api_server_is_not_told_the_identity(server: Hostile, mount: Path, tmp_path: Path) -> None:
    stranger = make_authority(tmp_path / "stranger", "127.0.0.1")
    (mount / "ca.crt").write_bytes(stranger.ca_file.read_bytes())
    api = in_cluster(environment(server), mount)
    with pytest.raises(UnavailableError):
        read(api)
    assert server.seen == []
    api.close()


def test_the_environments_proxies_are_not_used(server: Hostile, mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on(PATH, secret(token="YQ=="))
    with Hostile() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        api = in_cluster(environment(server), mount)
        assert read(api) == b"a"
        api.close()
        assert proxy.connections == 0


@pytest.mark.parametrize("name", ["..", ".", "a/b", "A", "", "a?b", "x" * 254, "a\n", "-a"])
def test_a_name_that_is_another_path_is_refused(api: KubernetesApi, server: Hostile, name: str) -> None:
    with pytest.raises(ConfigError, match="not the name"):
        read_secret_key(api, "oci-webhook", name, "token", 1)
    with pytest.raises(ConfigError, match="not the name"):
        read_secret_key(api, name, "registry-token", "token", 1)
    assert server.connections == 0


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_outside_a_pod_there_is_no_api_server(server: Hostile, mount: Path, missing: str) -> None:
    (mount / missing).unlink()
    with pytest.raises(ConfigError, match="pod"):
        in_cluster(environment(server), mount)


def test_without_a_service_address_there_is_no_api_server(mount: Path) -> None:
    with pytest.raises(ConfigError, match="pod"):
        in_cluster({}, mount)


def test_the_namespace_is_the_mounted_one(mount: Path) -> None:
    assert own_namespace(mount) == "oci-webhook"


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"../x", b"a" * 65])
def test_a_namespace_that_is_none_is_a_config_error(mount: Path, content: bytes | None) -> None:
    (mount / "namespace").unlink()
    if content is not None:
        (mount / "namespace").write_bytes(content)
    with pytest.raises(ConfigError):
        own_namespace(mount)
