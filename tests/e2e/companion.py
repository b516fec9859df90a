"""The components of the manifests that hold without gate, put into force in a cluster that nobody gates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.cluster import SETTLE_SECONDS, Cluster
from tests.e2e.kubeapi import Answer, Object, must
from tests.e2e.processes import wait_until
from tests.e2e.reconciler import Reconciler
from tests.e2e.syncs import Sync
from tests.e2e.workbench import Workbench
from tests.integration import kustomize

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
LISTS = {
    "ValidatingAdmissionPolicy": f"{ADMISSION}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{ADMISSION}/validatingadmissionpolicybindings",
}
INVALID = 422  # the HTTP status of reason Invalid; Config Sync would take a 403 for a lack of permission


@dataclass(frozen=True, slots=True)
class Held:
    """One object and its reconciler, spoken to in one version of the API."""

    cluster: Cluster
    sync: Sync
    version: str
    reconciler: Reconciler

    def merge(self, body: Object) -> Answer:
        """Merge ``body`` into the object, as the administrator."""
        return self.cluster.admin.merge(self.sync.path(self.version), body)

    def annotate(self, annotations: dict[str, str | None]) -> Answer:
        """Write annotations, as the administrator."""
        return self.merge({"metadata": {"annotations": annotations}})

    def patch(self, annotations: dict[str, str | None]) -> Answer:
        """Write annotations, as its reconciler does."""
        return self.reconciler.patch(annotations, self.version)


def make(cluster: Cluster, kind: str, version: str, spec: Object, annotations: dict[str, str] | None = None) -> Held:
    """Create an object with ``spec`` and ``annotations``, which has to be admitted."""
    bench = Workbench(cluster)
    sync = bench.sync(kind)
    must(create(cluster, sync, version, spec, annotations))
    return Held(cluster, sync, version, bench.reconciler(sync))


def create(
    cluster: Cluster, sync: Sync, version: str, spec: Object, annotations: dict[str, str] | None = None
) -> Answer:
    """Ask for an object with ``spec`` and ``annotations``."""
    wanted = sync.object(spec, version)
    wanted["metadata"]["annotations"] = annotations or {}
    return cluster.admin.create(sync.list_path(version), wanted)


def policies(component: str, folder: Path) -> list[Object]:
    """Return the admission policy of ``component`` and its binding, as kustomize renders them."""
    return [each for each in kustomize.overlay(folder, [component]) if each["kind"] in LISTS]


@contextlib.contextmanager
def in_force(cluster: Cluster, objects: list[Object], refused: Callable[[], Answer]) -> Iterator[None]:
    """Install ``objects`` until the context is left; ``refused`` is a dry run that they refuse."""
    for each in objects:
        must(cluster.admin.create(LISTS[each["kind"]], each))
    try:
        wait_until(lambda: not refused().ok, SETTLE_SECONDS, "the policy is in force")
        yield
    finally:
        for each in objects:
            must(cluster.admin.delete(f"{LISTS[each['kind']]}/{each['metadata']['name']}"))
        wait_until(lambda: refused().ok, SETTLE_SECONDS, "the policy is gone")


def assert_refused(answer: Answer, component: str, *words: str) -> None:
    """The policy of ``component`` refused it, in one line with all the words, and not as a lack of permission."""
    assert answer.status == INVALID, f"{answer.status}: {answer.message}"
    assert answer.body["reason"] == "Invalid"
    name = f"'gate-{component}'"
    assert f"ValidatingAdmissionPolicy {name} with binding {name} denied request: " in answer.message
    assert "\n" not in answer.message
    for word in words:
        assert word in answer.message
