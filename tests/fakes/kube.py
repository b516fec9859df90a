"""Lists of an API server on loopback, in pages, as a real one answers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from tests.fakes.hostile import Reply, Seen, as_json
from tests.fakes.reviews import Document

PATHS = {
    "RootSync": "/apis/configsync.gke.io/v1beta1/rootsyncs",
    "RepoSync": "/apis/configsync.gke.io/v1beta1/reposyncs",
}
MANAGER = "/apis/apps/v1/namespaces/config-management-system/deployments/reconciler-manager"


def pages(items: Sequence[Document]) -> Callable[[Seen], Reply]:
    """Return what answers questions for a list of ``items``: as many as ``limit`` says, and where to go on."""

    def answer(seen: Seen) -> Reply:
        query = parse_qs(seen.target.partition("?")[2])
        start = int(query.get("continue", ["0"])[0])
        end = start + int(query["limit"][0])
        metadata = {"continue": str(end)} if end < len(items) else {}
        return as_json({"kind": "List", "metadata": metadata, "items": list(items[start:end])})

    return answer


def manager(image: str) -> Reply:
    """Return the Deployment of Config Sync's manager."""
    containers = [{"name": "otel-agent", "image": "x:v9.9.9"}, {"name": "reconciler-manager", "image": image}]
    return as_json({"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}})
