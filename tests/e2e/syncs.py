"""RootSync and RepoSync objects, and the names that Config Sync derives from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.cluster import SYSTEM_NAMESPACE

CLAIM = "configsync.gke.io/image-to-sync"
GIT = {"sourceType": "git", "git": {"repo": "https://git.example.test/config", "branch": "main", "auth": "none"}}


@dataclass(frozen=True, slots=True)
class Sync:
    """The name of a RootSync or RepoSync."""

    kind: str
    name: str
    namespace: str = SYSTEM_NAMESPACE

    @property
    def reconciler(self) -> str:
        """Return the name of its reconciler's ServiceAccount."""
        if self.kind == "RootSync":
            return "root-reconciler" if self.name == "root-sync" else f"root-reconciler-{self.name}"
        if self.name == "repo-sync":
            return f"ns-reconciler-{self.namespace}"
        return f"ns-reconciler-{self.namespace}-{self.name}-{len(self.name)}"

    def list_path(self, version: str = "v1beta1") -> str:
        """Return the path of the list that it belongs to."""
        return f"/apis/configsync.gke.io/{version}/namespaces/{self.namespace}/{self.kind.lower()}s"

    def path(self, version: str = "v1beta1") -> str:
        """Return the path of the object."""
        return f"{self.list_path(version)}/{self.name}"

    def object(self, spec: dict[str, Any], version: str = "v1beta1", claim: str | None = None) -> dict[str, Any]:
        """Return the object to create, with the annotation set to ``claim`` where one is given."""
        metadata: dict[str, Any] = {"name": self.name, "namespace": self.namespace}
        if claim is not None:
            metadata["annotations"] = {CLAIM: claim}
        return {"apiVersion": f"configsync.gke.io/{version}", "kind": self.kind, "metadata": metadata, "spec": spec}


def oci(image: str) -> dict[str, Any]:
    """Return the spec of a sync whose source is ``image``."""
    return {"sourceType": "oci", "oci": {"image": image, "dir": ".", "auth": "none"}}
