"""The two ways in which gate gets credentials in a cluster: GKE's workload identity, and a token in a Secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.google_front import Front, running_front
from tests.e2e.kubeapi import Object, must
from tests.e2e.pki import Authority
from tests.e2e.pod import Pod
from tests.e2e.private import PASSWORD, USER, Guarded, admitted_soon, ask, guarded, refused_soon
from tests.e2e.processes import wait_until
from tests.e2e.registries import Tls, running_distribution
from tests.e2e.token_server import Mint, running_token_server
from tests.e2e.webhook import GateServer, registered_instead
from tests.e2e.workbench import Workbench

HOST = "e2e-docker.pkg.dev"  # a host of Google's, for whose registries both ways are meant
TAG_SIGNER = SIGNERS[0]

ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"
TOKEN = "ya29.e2e"
TOKEN_SECONDS = 6  # the shortest life with which a renewal is seen soon: gate renews after half of it or more
RENEWED_SECONDS = 15

NAMESPACE = "gate-by-token"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SECRET = "registry-token"
SHORT_SECONDS = 8  # long enough for gate to read it after a refusal and use it
EXPIRED_SECONDS = 3600


@pytest.fixture(scope="module")
def tls(folder: Path) -> Tls:
    """Return the registry's certificate, for Google's name and for who pushes on loopback."""
    return Tls.issued(Authority(folder, "pkg-dev-ca"), "pkg-dev", HOST)


@pytest.fixture(scope="module")
def entries(tls: Tls) -> list[Object]:
    """Return what GATE_REGISTRIES says: no credentials, so that GATE_AUTH decides."""
    return [{"host": HOST, "caFile": str(tls.authority)}]


@dataclass(frozen=True, slots=True)
class ByToken:
    """Distribution with a token server, whose tokens whoever owns ``mint`` can make as well."""

    registry: Guarded
    mint: Mint


@pytest.fixture(scope="module")
def by_token(folder: Path, tls: Tls) -> Iterator[ByToken]:
    """Return a registry that takes tokens until they end."""
    with running_token_server(tls, {USER: PASSWORD}) as tokens:
        auth = tokens.mint.registry_auth(folder, tokens.realm)
        with running_distribution(folder, name="pkg-dev-registry", tls=tls, auth=auth) as host:
            registry = guarded(folder, host.replace("127.0.0.1", "localhost"), tls.authority, tokens.mint)
            yield ByToken(registry, tokens.mint)


@pytest.fixture(scope="module")
def front(tls: Tls, olareg: str) -> Iterator[Front]:
    """Return the registry behind a front that wants a token of the metadata server."""
    with running_front(tls, HOST, olareg, f"Bearer {TOKEN}-") as running:
        yield running


def test_workload_identity_reads_googles_registries_and_its_tokens_are_renewed(
    folder: Path, front: Front, entries: list[Object], bench: Workbench, gate: GateServer, release: KeyPair
) -> None:
    repository = bench.repository(front.upstream)
    signed = repository.push()
    TAG_SIGNER.sign(f"{repository}@{signed}", release)
    pod = Pod(folder / "gke", release, entries, cluster=bench.cluster, namespace="gate-on-gke", way=(HOST, front.port))
    pod.with_metadata_server("--token", TOKEN, "--life", str(TOKEN_SECONDS))
    with pod, registered_instead(bench.cluster, pod, gate):
        must(ask(bench, f"{HOST}/{repository.name}@{signed}"))
        assert set(front.shown) == {f"Bearer {TOKEN}-0"}
        assert [each["path"] for each in pod.metadata_requests()] == ["/", ACCOUNT, f"{ACCOUNT}token"]

        def renewed() -> bool:
            refused_soon(bench, pod, repository, "no-signature", host=HOST)
            return front.shown[-1] != f"Bearer {TOKEN}-0"

        wait_until(renewed, RENEWED_SECONDS, "gate shows the next token")
    assert TOKEN not in pod.log.read_text()


def test_a_token_in_the_secret_is_needed_at_the_start_and_renewed_without_a_restart(
    folder: Path, by_token: ByToken, entries: list[Object], bench: Workbench, gate: GateServer, release: KeyPair
) -> None:
    repository, mint = by_token.registry.repository(bench), by_token.mint
    first, second = repository.push(), repository.push()
    for digest in (first, second):
        TAG_SIGNER.sign(f"{repository}@{digest}", release, by_token.registry.login)
    place = folder / "by-token"
    way = (HOST, int(by_token.registry.host.rpartition(":")[2]))
    pod = Pod(place, release, entries, cluster=bench.cluster, namespace=NAMESPACE, way=way, GATE_AUTH="token")
    with pytest.raises(AssertionError, match=f"there is no Secret .*{NAMESPACE}/{SECRET}"):
        pod.start()
    store(bench.cluster, mint.to_pull(repository.name, -EXPIRED_SECONDS))
    with pod, registered_instead(bench.cluster, pod, gate):
        for seconds, digest in ((SHORT_SECONDS, first), (EXPIRED_SECONDS, second)):
            message = refused_soon(bench, pod, repository, "registry-unauthorized", SECRET, host=HOST)
            assert "Google access tokens live an hour" in message
            store(bench.cluster, mint.to_pull(repository.name, seconds))
            admitted_soon(bench, f"{HOST}/{repository.name}@{digest}")


def store(cluster: Cluster, token: str) -> None:
    """Put ``token`` into the Secret, as whatever renews it does."""
    data = {"token": base64.b64encode(token.encode()).decode()}
    path = f"{SECRETS}/{SECRET}"
    if cluster.admin.get(path).ok:
        must(cluster.admin.merge(path, {"data": data}))
    else:
        must(cluster.admin.create(SECRETS, {"metadata": {"name": SECRET}, "data": data}))
