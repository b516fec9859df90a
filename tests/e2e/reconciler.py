"""A Config Sync reconciler, as far as an admission gate sees it: its requests, its identity, its error texts."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.e2e.cluster import RBAC, SETTLE_SECONDS, SYSTEM_NAMESPACE, Cluster
from tests.e2e.images import fetched_digest
from tests.e2e.kubeapi import MERGE_PATCH, Answer, Api, Object, must
from tests.e2e.processes import wait_until
from tests.e2e.syncs import CLAIM, Sync

PERIOD = 0.5  # seconds between polls; Config Sync's default is 15
FINALIZER = "configsync.gke.io/reconciler"
GIT_COMMIT = "5b2fd5e5e8ee0f5a9d4c9d3f0f6b4a2c1d0e9f88"
FORBIDDEN = 403


class Reconciler:
    """The reconciler of one sync, as its own ServiceAccount.

    Like the real one it knows its source from the moment it was started: a changed spec reaches it by ``restart``.
    """

    def __init__(self, cluster: Cluster, sync: Sync) -> None:
        """Start it: its ServiceAccount and its binding are made, then the source is read from the object."""
        self.sync = sync
        self._api = cluster.user(cluster.service_account(SYSTEM_NAMESPACE, sync.reconciler))
        _bind(cluster, sync)
        wait_until(lambda: self._api.get(sync.path()).ok, SETTLE_SECONDS, f"{sync.reconciler} may read its object")
        self._spec: Object = {}
        self.restart()

    def restart(self) -> None:
        """Take the source from the object, as a new Deployment would."""
        self._spec = self.read()["spec"]

    def read(self) -> Object:
        """Return the object."""
        return must(self._api.get(self.sync.path()))

    def poll(self) -> Answer:
        """Fetch the source, announce it, write the status; return what the API server said of the announcement."""
        return self.announce(*self._fetch())

    def announce(self, commit: str, value: str | None) -> Answer:
        """Announce ``value`` as what was fetched, write the status; return what the API server said."""
        answer = self.patch({CLAIM: value})
        self._report(commit, None if answer.ok else error_text(self.sync.kind, answer))
        return answer

    def poll_until(self, condition: Callable[[Answer], bool], seconds: float) -> Answer:
        """Poll until ``condition`` holds of the answer and return that; raise AssertionError if it never does."""
        end = time.monotonic() + seconds
        while not condition(answer := self.poll()):
            assert time.monotonic() < end, f"after {seconds} s still {answer.status}: {answer.message}"
            time.sleep(PERIOD)
        return answer

    def patch(self, annotations: dict[str, str | None], version: str = "v1beta1", other: Sync | None = None) -> Answer:
        """Send the reconciler's one patch: a merge patch of the annotations, nothing else, with its field manager.

        The real one never patches an ``other`` object, but its role may let it.
        """
        path = f"{(other or self.sync).path(version)}?fieldManager=configsync.gke.io&timeout=15s"
        return self._api.send("PATCH", path, {"metadata": {"annotations": annotations}}, MERGE_PATCH)

    def add_finalizer(self) -> Answer:
        """Update the object with the finalizer, and with the period that the real one writes along with it."""
        changed = self.read()
        changed["metadata"]["finalizers"] = [FINALIZER]
        if "oci" in changed["spec"]:
            changed["spec"]["oci"]["period"] = "0s"
        return self._api.replace(f"{self.sync.path()}?fieldManager=configsync.gke.io", changed)

    def remove_finalizer(self) -> Answer:
        """Update the object without the finalizer; the API server then drops an object that was deleted."""
        changed = self.read()
        changed["metadata"]["finalizers"] = []
        return self._api.replace(f"{self.sync.path()}?fieldManager=configsync.gke.io", changed)

    def _fetch(self) -> tuple[str, str | None]:
        """Return the commit, and the value of the annotation: none for a source that is not OCI."""
        match self._spec["sourceType"]:
            case "oci":
                image = self._spec["oci"]["image"]
                digest = fetched_digest(image)
                return digest.removeprefix("sha256:"), f"{image}@{digest}"
            case "helm":
                chart = self._spec["helm"]
                return chart["version"], f"{chart['repo']}@sha256:{chart['version']}"
            case _:
                return GIT_COMMIT, None

    def _report(self, commit: str, error: str | None) -> None:
        """Write the status: a denied commit is the source's, an admitted one also the sync's."""
        changed = self.read()
        status = changed.setdefault("status", {})
        errors = [] if error is None else [{"code": error[3:7], "errorMessage": error}]
        status["source"] = {"commit": commit, "errors": errors, "errorSummary": {"totalCount": len(errors)}}
        if error is None:
            status["sync"] = {"commit": commit}
            status["lastSyncedCommit"] = commit
        must(self._api.replace(f"{self.sync.path()}/status?fieldManager=configsync.gke.io", changed))


def cluster_admin(cluster: Cluster, sync: Sync) -> Api:
    """Make the reconciler of a RootSync what it is without spec.override.roleRefs; return the API server as it."""
    subject = {"kind": "ServiceAccount", "name": sync.reconciler, "namespace": SYSTEM_NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": f"admin-{sync.reconciler}"}, "roleRef": role, "subjects": [subject]}
    must(cluster.admin.create(f"{RBAC}/clusterrolebindings", binding))
    api = cluster.user(cluster.token(SYSTEM_NAMESPACE, sync.reconciler))
    probe = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"
    wait_until(lambda: api.get(probe).ok, SETTLE_SECONDS, f"{sync.reconciler} is cluster-admin")
    return api


def error_text(kind: str, answer: Answer) -> str:
    """Return the error that Config Sync puts into the status for a refused patch.

    A 403 is taken for a lack of permission: its message is not the first thing a person reads.
    """
    cause = f"failed to patch {kind} annotation: {CLAIM}: "
    if answer.status == FORBIDDEN:
        code = "2013"
        advice = "Insufficient permission. To fix, make sure the reconciler has sufficient permissions."
        text = f"{advice}: {cause}{answer.message}"
    else:
        code = "2002"
        text = f"{cause}APIServer error: {answer.message}"
    return f"KNV{code}: {text}\n\nFor more information, see https://g.co/cloud/acm-errors#knv{code}"


def nomos_status(sync: Object) -> str:
    """Return what ``nomos status`` prints of the object: name and source, state and commit, each error in full."""
    metadata, spec, source = sync["metadata"], sync["spec"], sync["status"]["source"]
    scope = "<root>" if sync["kind"] == "RootSync" else metadata["namespace"]
    where = spec["oci"]["image"] if spec["sourceType"] == "oci" else spec["git"]["repo"]
    name = f"{scope}:{metadata['name']}"
    errors = source.get("errors", [])
    lines = [f"  {name}   {where}", f"  {'ERROR' if errors else 'SYNCED':<{len(name)}}   {source['commit']}"]
    if errors:
        lines.append(f"  TotalErrorCount: {len(errors)}")
    lines += [f"  Error:   {each['errorMessage']}" for each in errors]
    return "\n".join(lines)


def _bind(cluster: Cluster, sync: Sync) -> None:
    subject = {"kind": "ServiceAccount", "name": sync.reconciler, "namespace": SYSTEM_NAMESPACE}
    role = "root-reconciler" if sync.kind == "RootSync" else "ns-reconciler"
    binding = {
        "metadata": {"name": f"configsync.gke.io:{sync.reconciler}"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"configsync.gke.io:{role}",
        },
        "subjects": [subject],
    }
    if sync.kind == "RootSync":
        must(cluster.admin.create(f"{RBAC}/clusterrolebindings", binding))
    else:
        must(cluster.admin.create(f"{RBAC}/namespaces/{sync.namespace}/rolebindings", binding))
