"""components/events lets gate write Events, and tells it to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.kube import syncs
from gate.settings import Settings
from tests.integration.kustomize import Manifest, container_of, one, overlay, pod_of


def events_of(objects: tuple[Manifest, ...]) -> bool:
    return Settings.parse({each["name"]: each["value"] for each in container_of(pod_of(objects))["env"]}).events


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Manifest, ...]:
    return overlay(tmp_path, ["events"])


def test_the_component_turns_events_on_and_leaves_the_rest(objects: tuple[Manifest, ...], tmp_path: Path) -> None:
    assert events_of(objects)
    names = {each["name"] for each in container_of(pod_of(objects))["env"]}
    plain = tmp_path / "plain"
    plain.mkdir()
    base = overlay(plain, [])
    assert names - {"GATE_EVENTS"} == {each["name"] for each in container_of(pod_of(base))["env"]}
    assert not events_of(base)
    assert {each["kind"] for each in base}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})


def test_gate_may_look_at_syncs_and_write_events_and_nothing_else(objects: tuple[Manifest, ...]) -> None:
    role, binding = one(objects, "ClusterRole"), one(objects, "ClusterRoleBinding")
    assert role["rules"] == [
        {"apiGroups": ["configsync.gke.io"], "resources": list(syncs.KINDS.values()), "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = one(objects, "ServiceAccount")["metadata"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert account["name"] == pod_of(objects)["serviceAccountName"]
