"""``gate audit`` sees what no review could: what synced while gate was away, and what a revoked key had signed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import RBAC, SETTLE_SECONDS, SYSTEM_NAMESPACE, Cluster
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.kubeapi import must
from tests.e2e.kubectl import Kubectl
from tests.e2e.pod import Pod
from tests.e2e.processes import wait_until
from tests.e2e.syncs import CLAIM, GIT, Sync, oci
from tests.e2e.webhook import CONFIGURATIONS, MANIFEST, GateServer, gate_program
from tests.e2e.workbench import Workbench
from tests.integration import kustomize

TAG_SIGNER = SIGNERS[0]
SECONDS = 60
NAMESPACE = "gate-audits"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments"


@dataclass(frozen=True, slots=True)
class Auditor:
    """``gate audit`` with a kubeconfig."""

    folder: Path
    registries: Path
    kubeconfig: Path

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the JSON object that it printed."""
        done = self.start("-o", "json", *words)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it and return what it printed and its exit code."""
        argv = [str(gate_program()), "audit", "--registries", str(self.registries), *words]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(
            argv, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def of(self, sync: Sync, *words: str) -> dict[str, Any]:
        """Return what it says of one object."""
        _, printed = self.run(*words)
        (found,) = (
            each
            for each in printed["objects"]
            if (each["kind"], each["namespace"], each["name"]) == (sync.kind, sync.namespace, sync.name)
        )
        return dict(found)


@pytest.fixture(scope="module")
def auditor(cluster: Cluster, gate: GateServer, folder: Path) -> Auditor:
    """Return an auditor with the administrator's kubeconfig."""
    place = folder / "audit"
    place.mkdir()
    Kubectl(cluster, place)  # writes the kubeconfig
    return Auditor(place, gate.registries, place / "kubeconfig")


@pytest.fixture
def unasked(cluster: Cluster, gate: GateServer) -> Iterator[None]:
    """Let the API server admit what it cannot ask about, as failurePolicy Ignore does, while gate is down."""
    path = f"{CONFIGURATIONS}/{yaml.safe_load(MANIFEST.read_text())['metadata']['name']}"

    def set_policy(failure_policy: str) -> None:
        webhooks = must(cluster.admin.get(path))["webhooks"]
        must(cluster.admin.merge(path, {"webhooks": [{**each, "failurePolicy": failure_policy} for each in webhooks]}))

    set_policy("Ignore")
    gate.stop()
    try:
        yield
    finally:
        gate.start()
        set_policy("Fail")


def test_an_object_that_synced_during_an_outage_is_found_whatever_its_annotation_says(
    bench: Workbench, olareg: str, release: KeyPair, auditor: Auditor, unasked: None
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    unsigned = repository.push("latest")
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    reconciler = bench.reconciler(sync)

    def synced() -> bool:
        return reconciler.poll().ok

    wait_until(synced, SETTLE_SECONDS, "the API server no longer waits for gate")
    signed = repository.push()
    TAG_SIGNER.sign(f"{repository}@{signed}", release)
    must(reconciler.patch({CLAIM: f"{repository}:latest@{signed}"}))
    found = auditor.of(sync, "--key", str(release.public))
    assert (found["verdict"], found["reason"], found["digest"]) == ("denied", "no-signature", unsigned)
    assert auditor.run("--key", str(release.public))[0] == 1


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_what_a_revoked_key_had_signed_is_found_before_the_policy_is_installed(
    kind: str, bench: Workbench, olareg: str, release: KeyPair, stranger: KeyPair, auditor: Auditor
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    TAG_SIGNER.sign(f"{repository}@{repository.push('latest')}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    must(bench.reconciler(sync).poll())
    assert auditor.of(sync, "--key", str(release.public))["verdict"] == "verified"
    candidate = auditor.folder / "candidate.yaml"
    rule = {
        "name": "rotated",
        "match": {"images": ["**"]},
        "authorities": [{"name": "next", "key": {"file": str(stranger.public)}}],
    }
    sources = {"git": "deny", "helmHttp": "deny", "helmOci": "deny"}
    policy = {"apiVersion": "gate/v1", "kind": "Policy", "noMatch": "deny", "sources": sources, "rules": [rule]}
    candidate.write_text(yaml.safe_dump(policy))
    found = auditor.of(sync, "--policy", str(candidate))
    assert (found["verdict"], found["reason"]) == ("denied", "untrusted")


def test_git_is_reported_as_the_candidate_has_it_and_what_syncs_nothing_is_no_finding(
    bench: Workbench, release: KeyPair, olareg: str, auditor: Auditor
) -> None:
    git, idle = bench.sync("RootSync"), bench.sync("RepoSync")
    must(bench.cluster.admin.create(git.list_path(), git.object(GIT)))
    must(bench.reconciler(git).poll())
    must(bench.cluster.admin.create(idle.list_path(), idle.object(oci(f"{bench.repository(olareg)}:latest"))))
    found = auditor.of(git, "--key", str(release.public))
    assert (found["verdict"], found["reason"], found["sourceType"]) == ("exempt", "git", "git")
    found = auditor.of(idle, "--key", str(release.public))
    assert (found["verdict"], found["synced"]) == ("exempt", None)


def test_the_version_of_config_sync_is_that_of_its_manager(
    cluster: Cluster, release: KeyPair, auditor: Auditor
) -> None:
    asked = auditor.start("--key", str(release.public)).stdout
    assert "Config Sync: unknown version (there is no Deployment" in asked
    labels = {"app": "reconciler-manager"}
    container = {"name": "reconciler-manager", "image": "gcr.io/x/reconciler-manager:v1.19.2"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    must(cluster.admin.create(DEPLOYMENTS, {"metadata": {"name": "reconciler-manager"}, "spec": spec}))
    try:
        code, printed = auditor.run("--key", str(release.public))
        assert (code, printed["configSync"]["asks"]) == (1, False)
    finally:
        must(cluster.admin.delete(f"{DEPLOYMENTS}/reconciler-manager"))


def test_in_a_pod_it_asks_with_the_account_of_the_pod_once_that_has_the_rights_of_the_component(
    cluster: Cluster, release: KeyPair, folder: Path, tmp_path: Path
) -> None:
    place, way = folder / "audit-in-a-pod", ("registry.example.test", 1)
    pod = Pod(place, release, [], cluster=cluster, namespace=NAMESPACE, way=way, command="audit")
    assert pod.launch().wait(SECONDS) == 2
    assert "it needs the verb list on rootsyncs.configsync.gke.io" in pod.log.read_text()
    objects = kustomize.overlay(tmp_path, ["audit"])
    role, binding = (kustomize.one(objects, kind) for kind in ("ClusterRole", "ClusterRoleBinding"))
    binding["subjects"][0]["namespace"] = NAMESPACE
    must(cluster.admin.create(f"{RBAC}/clusterroles", role))
    must(cluster.admin.create(f"{RBAC}/clusterrolebindings", binding))

    def listed() -> bool:
        pod.launch().wait(SECONDS)
        return "\nVERDICT" in pod.log.read_text()

    wait_until(listed, SETTLE_SECONDS, "the ClusterRoleBinding is in force")
    said = pod.log.read_text()
    assert f"as the ServiceAccount of a pod in {NAMESPACE}" in said
    assert "Config Sync: unknown version (there is no Deployment" in said
