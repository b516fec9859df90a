"""What most tests begin with: names that nothing had before, in the cluster that gate guards."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tests.e2e.cluster import Cluster
from tests.e2e.images import Repository
from tests.e2e.reconciler import Reconciler
from tests.e2e.syncs import Sync

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Workbench:
    """New repositories, syncs and reconcilers."""

    cluster: Cluster

    def repository(self, host: str) -> Repository:
        """Return a repository of ``host`` that is empty."""
        return Repository(host, f"acme/config-{next(_numbers)}")

    def sync(self, kind: str) -> Sync:
        """Return a sync that does not exist yet; a RepoSync gets a namespace of its own."""
        number = next(_numbers)
        if kind == "RootSync":
            return Sync(kind, f"edge-{number}")
        return Sync(kind, "repo-sync" if number % 2 else "edge", self.cluster.namespace(f"tenant-{number}"))

    def reconciler(self, sync: Sync) -> Reconciler:
        """Return the reconciler of a sync that exists."""
        return Reconciler(self.cluster, sync)
