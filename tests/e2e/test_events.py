"""Denials are Events on the object, written by gate in a pod with the rights of components/events and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import RBAC, SETTLE_SECONDS, Cluster
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.kubeapi import Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.pod import Pod
from tests.e2e.processes import wait_until
from tests.e2e.syncs import CLAIM, Sync, oci
from tests.e2e.webhook import GateServer, plain_http, registered_instead
from tests.e2e.workbench import Workbench
from tests.integration import kustomize

NAMESPACE = "gate-with-events"
HOST = "registry.example.test"  # what the pod calls the registry that is on loopback


@pytest.fixture(scope="module")
def pod(
    folder: Path,
    cluster: Cluster,
    gate: GateServer,
    release: KeyPair,
    olareg: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """Return gate in a pod, in the place of the one of the run, with the component's rights."""
    objects = kustomize.overlay(tmp_path_factory.mktemp("overlay"), ["events"])
    role, binding = (kustomize.one(objects, kind) for kind in ("ClusterRole", "ClusterRoleBinding"))
    binding["subjects"][0]["namespace"] = NAMESPACE
    must(cluster.admin.create(f"{RBAC}/clusterroles", role))
    must(cluster.admin.create(f"{RBAC}/clusterrolebindings", binding))
    (env,) = (
        each["value"]
        for each in kustomize.container_of(kustomize.pod_of(objects))["env"]
        if each["name"] == "GATE_EVENTS"
    )
    way = (HOST, int(olareg.rpartition(":")[2]))
    entries = [plain_http(f"{HOST}:443")]
    made = Pod(folder / "with-events", release, entries, cluster=cluster, namespace=NAMESPACE, way=way, GATE_EVENTS=env)
    with made, registered_instead(cluster, made, gate):
        yield made


def events(cluster: Cluster, sync: Sync) -> list[Object]:
    """Return the Events about an object."""
    listed = must(cluster.admin.get(f"/api/v1/namespaces/{sync.namespace}/events"))["items"]
    return [each for each in listed if each["involvedObject"]["name"] == sync.name]


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_a_denied_poll_is_one_event_on_the_object_however_often_it_is_denied(
    kind: str, bench: Workbench, pod: Pod, olareg: str, folder: Path, tmp_path: Path
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    unsigned = repository.push()
    image = f"{HOST}:443/{repository.name}:latest"
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
    assert event["message"].startswith(f"no signatures found for {HOST}:443/{repository.name}@{unsigned}")
    described = Kubectl(bench.cluster, tmp_path).run("describe", kind.lower(), sync.name, "-n", sync.namespace)
    assert "SyncDenied" in described


def test_a_dry_run_and_an_admitted_poll_leave_no_event(
    bench: Workbench, pod: Pod, olareg: str, release: KeyPair
) -> None:
    repository, quiet, loud = bench.repository(olareg), bench.sync("RootSync"), bench.sync("RootSync")
    signed, unsigned = repository.push(), repository.push()
    SIGNERS[0].sign(f"{repository}@{signed}", release)
    image = f"{HOST}:443/{repository.name}:latest"
    for sync in (quiet, loud):
        must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(quiet)
    must(reconciler.patch({CLAIM: f"{image}@{signed}"}))
    claim = {"metadata": {"annotations": {CLAIM: f"{image}@{unsigned}"}}}
    assert bench.cluster.admin.merge(f"{quiet.path()}?dryRun=All", claim).status == 400
    assert bench.cluster.admin.merge(loud.path(), claim).status == 400
    wait_until(lambda: bool(events(bench.cluster, loud)), SETTLE_SECONDS, "the later Event is there")
    assert events(bench.cluster, quiet) == []
