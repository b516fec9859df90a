"""Denials are Events on the object, written by gate in a pod with the rights of components/events and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.cluster import RBAC, SETTLE_SECONDS, Cluster
from tests.e2e.cosign import SIGNERS, KeyPair, Login
from tests.e2e.images import Access, Repository
from tests.e2e.kubeapi import Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.pki import Authority
from tests.e2e.pod import Pod
from tests.e2e.processes import wait_until
from tests.e2e.registries import Tls, running_olareg
from tests.e2e.syncs import CLAIM, Sync, oci
from tests.e2e.webhook import GateServer, registered_instead
from tests.e2e.workbench import Workbench
from tests.integration import kustomize

NAMESPACE = "gate-with-events"
HOST = "registry.example.test"  # what the pod calls the registry that is on loopback


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pod's files are, how it reaches the registry, and which authority it trusts for it."""

    folder: Path
    way: tuple[str, int]
    authority: Path


@pytest.fixture(scope="module")
def tls(folder: Path) -> Tls:
    """Return the registry's certificate, for its name in the pod and for who pushes on loopback."""
    return Tls.issued(Authority(folder, "events-ca"), "events-registry", HOST)


@pytest.fixture(scope="module")
def registry(folder: Path, tls: Tls) -> Iterator[str]:
    """Return where the registry is for who pushes."""
    with running_olareg(folder, name="events-registry", tls=tls) as host:
        yield host.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def place(folder: Path, registry: str, tls: Tls) -> Place:
    """Return where the registry is for the pod, and what it trusts there."""
    return Place(folder / "with-events", (HOST, int(registry.rpartition(":")[2])), tls.authority)


@pytest.fixture(scope="module")
def rights(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> str:
    """Give the pod's account what the component gives it; return what the component sets GATE_EVENTS to."""
    objects = kustomize.overlay(tmp_path_factory.mktemp("overlay"), ["events"])
    role, binding = (kustomize.one(objects, kind) for kind in ("ClusterRole", "ClusterRoleBinding"))
    binding["subjects"][0]["namespace"] = NAMESPACE
    must(cluster.admin.create(f"{RBAC}/clusterroles", role))
    must(cluster.admin.create(f"{RBAC}/clusterrolebindings", binding))
    variables = kustomize.container_of(kustomize.pod_of(objects))["env"]
    return str({each["name"]: each["value"] for each in variables}["GATE_EVENTS"])


@pytest.fixture(scope="module")
def pod(place: Place, cluster: Cluster, gate: GateServer, release: KeyPair, rights: str) -> Iterator[Pod]:
    """Return gate in a pod, in the place of the one of the run."""
    entries = [{"host": HOST, "caFile": str(place.authority)}]
    made = Pod(place.folder, release, entries, cluster=cluster, namespace=NAMESPACE, way=place.way, GATE_EVENTS=rights)
    with made, registered_instead(cluster, made, gate):
        yield made


def events(cluster: Cluster, sync: Sync) -> list[Object]:
    """Return the Events about an object."""
    listed = must(cluster.admin.get(f"/api/v1/namespaces/{sync.namespace}/events"))["items"]
    return [each for each in listed if each["involvedObject"]["name"] == sync.name]


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_a_denied_poll_is_one_event_on_the_object_however_often_it_is_denied(
    kind: str, bench: Workbench, pod: Pod, registry: str, tls: Tls, tmp_path: Path
) -> None:
    repository, sync = Repository(registry, f"acme/denied-{kind.lower()}", Access(tls.authority)), bench.sync(kind)
    unsigned = repository.push()
    image = f"{HOST}/{repository.name}:latest"
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    for _ in range(3):
        answer = reconciler.patch({CLAIM: f"{image}@{unsigned}"})
        assert answer.status == 400
    wait_until(lambda: bool(events(bench.cluster, sync)), SETTLE_SECONDS, "the Event is there")
    (event,) = events(bench.cluster, sync)
    live = must(bench.cluster.admin.get(sync.path()))
    assert event["involvedObject"]["uid"] == live["metadata"]["uid"]
    assert (event["type"], event["reason"]) == ("Warning", "SyncDenied")
    assert event["message"].startswith(f"no signatures found for {HOST}/{repository.name}@{unsigned}")
    described = Kubectl(bench.cluster, tmp_path).run("describe", kind.lower(), sync.name, "-n", sync.namespace)
    assert "SyncDenied" in described


def test_a_dry_run_and_an_admitted_poll_leave_no_event(
    bench: Workbench, pod: Pod, registry: str, tls: Tls, release: KeyPair
) -> None:
    repository = Repository(registry, "acme/quiet", Access(tls.authority))
    quiet, loud = bench.sync("RootSync"), bench.sync("RootSync")
    signed, unsigned = repository.push(), repository.push()
    SIGNERS[0].sign(f"{repository}@{signed}", release, Login(tls.authority))
    image = f"{HOST}/{repository.name}:latest"
    for sync in (quiet, loud):
        must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(quiet)
    must(reconciler.patch({CLAIM: f"{image}@{signed}"}))
    claim = {"metadata": {"annotations": {CLAIM: f"{image}@{unsigned}"}}}
    assert bench.cluster.admin.merge(f"{quiet.path()}?dryRun=All", claim).status == 400
    assert bench.cluster.admin.merge(loud.path(), claim).status == 400
    wait_until(lambda: bool(events(bench.cluster, loud)), SETTLE_SECONDS, "the later Event is there")
    assert events(bench.cluster, quiet) == []
