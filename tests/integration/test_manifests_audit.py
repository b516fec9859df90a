"""The CronJob of components/audit runs as the Deployment does, and may read what it lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.cli import COMMANDS
from gate.kube import syncs
from gate.settings import Settings
from tests.integration.kustomize import MANIFESTS, SERVER, Manifest, one, overlay, pod_of

NAME = "signature-verification-audit"
SERVER_ONLY = {"webhook-tls"}


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Manifest, ...]:
    return overlay(tmp_path, ["audit"])


def job_of(objects: tuple[Manifest, ...]) -> Manifest:
    return dict(one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def container_of(objects: tuple[Manifest, ...]) -> Manifest:
    (container,) = job_of(objects)["containers"]
    return dict(container)


def policy_of(objects: tuple[Manifest, ...]) -> Path | None:
    return Settings.parse({each["name"]: each["value"] for each in container_of(objects)["env"]}).policy


def test_the_container_runs_the_audit_from_the_servers_image(tmp_path: Path) -> None:
    image = {"name": SERVER, "newName": "us-docker.pkg.dev/acme/tools/gate", "newTag": "v1"}
    container = container_of(overlay(tmp_path, ["audit"], images=[image]))
    assert container["image"] == "us-docker.pkg.dev/acme/tools/gate:v1"
    assert container["args"] == ["audit"]
    assert "audit" in COMMANDS


@pytest.mark.parametrize("components", [["audit", "policy"], ["policy", "audit"]])
def test_the_audit_decides_by_the_policy_of_the_webhook_in_either_order(components: list[str], tmp_path: Path) -> None:
    policy = policy_of(overlay(tmp_path, components))
    assert policy == Path("/etc/gate/policy.yaml")
    mounts = {each["mountPath"] for each in container_of(overlay(tmp_path, components))["volumeMounts"]}
    assert str(policy.parent) in mounts


def test_without_the_policy_component_the_audit_decides_by_the_key(objects: tuple[Manifest, ...]) -> None:
    assert policy_of(objects) is None
    assert "/cosign-key" in {each["mountPath"] for each in container_of(objects)["volumeMounts"]}


def test_the_audit_has_no_more_than_the_server_has(objects: tuple[Manifest, ...]) -> None:
    job, server = job_of(objects), pod_of(objects)
    assert job["securityContext"] == server["securityContext"]
    assert container_of(objects)["securityContext"] == server["containers"][0]["securityContext"]
    assert job["serviceAccountName"] == server["serviceAccountName"]
    assert job["enableServiceLinks"] is False
    assert {each["name"] for each in job["volumes"]} == {each["name"] for each in server["volumes"]} - SERVER_ONLY


def test_the_service_sends_the_audit_no_reviews(objects: tuple[Manifest, ...]) -> None:
    labels = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert labels != one(objects, "Service")["spec"]["selector"]


def test_a_finding_fails_the_job_once_and_two_never_run_at_once(objects: tuple[Manifest, ...]) -> None:
    spec = one(objects, "CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert job_of(objects)["restartPolicy"] == "Never"


def test_the_service_account_may_list_syncs_and_see_config_syncs_version_and_nothing_else(
    objects: tuple[Manifest, ...],
) -> None:
    role, binding = one(objects, "ClusterRole"), one(objects, "ClusterRoleBinding")
    plurals = list(syncs.KINDS.values())
    manager = {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["reconciler-manager"]}
    assert role["rules"] == [
        {"apiGroups": ["configsync.gke.io"], "resources": plurals, "verbs": ["list"]},
        {**manager, "verbs": ["get"]},
    ]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    account = one(objects, "ServiceAccount")["metadata"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert account["name"] == job_of(objects)["serviceAccountName"]


def test_without_the_component_there_is_no_audit_and_no_role(tmp_path: Path) -> None:
    assert MANIFESTS.is_dir()
    kinds = {each["kind"] for each in overlay(tmp_path, [])}
    assert kinds.isdisjoint({"CronJob", "ClusterRole", "ClusterRoleBinding"})
