"""While gate is down nothing new syncs, and what is to go away can go away."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.arena import change_webhook
from tests.e2e.cluster import SETTLE_SECONDS
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.kubeapi import Answer, must
from tests.e2e.processes import wait_until
from tests.e2e.reconciler import Reconciler
from tests.e2e.syncs import CLAIM, GIT, Sync, oci
from tests.e2e.test_admission import assert_denied
from tests.e2e.webhook import GateServer, registered_instead
from tests.e2e.workbench import Workbench

KINDS = pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])


@pytest.fixture
def stopped(gate: GateServer) -> Iterator[GateServer]:
    """Return gate, which a test stops at the moment it chooses; it runs again afterwards."""
    try:
        yield gate
    finally:
        gate.stop()
        gate.start()


@pytest.fixture
def changed(bench: Workbench, gate: GateServer) -> Iterator[GateServer]:
    """Return gate, which a test may stop and whose webhook it may change; both are set back afterwards."""
    with registered_instead(bench.cluster, gate, gate):
        try:
            yield gate
        finally:
            gate.stop()
            gate.start()


_numbers = itertools.count()


def synced(bench: Workbench, kind: str, host: str, keys: KeyPair) -> tuple[Sync, Reconciler]:
    """Return a sync with a finalizer, on a signed image, and its reconciler."""
    repository, sync = bench.repository(host), bench.sync(kind)
    SIGNERS[0].sign(f"{repository}@{repository.push('latest')}", keys)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    reconciler = bench.reconciler(sync)
    must(reconciler.add_finalizer())
    must(reconciler.poll())
    return sync, reconciler


def assert_gate_was_not_there(answer: Answer) -> None:
    assert answer.status == 500, answer.message
    assert 'failed calling webhook "imageverification.webhook.com"' in answer.message


@KINDS
def test_an_rsync_is_deleted_with_its_finalizer_while_gate_is_down(
    kind: str, bench: Workbench, olareg: str, release: KeyPair, stopped: GateServer
) -> None:
    sync, reconciler = synced(bench, kind, olareg, release)
    stopped.stop()
    must(bench.cluster.admin.delete(sync.path()))
    assert reconciler.read()["metadata"]["deletionTimestamp"]
    must(bench.cluster.admin.merge(sync.path(), {"metadata": {"labels": {"why": "stuck"}}}))
    must(reconciler.remove_finalizer())
    assert bench.cluster.admin.get(sync.path()).status == 404


@KINDS
def test_a_deletion_hangs_while_gate_is_down_where_the_webhook_has_no_match_condition(
    kind: str, bench: Workbench, olareg: str, release: KeyPair, changed: GateServer
) -> None:
    sync, reconciler = synced(bench, kind, olareg, release)
    must(bench.cluster.admin.delete(sync.path()))
    change_webhook(bench.cluster, lambda _: {"matchConditions": []})
    asked = len(changed.decisions())

    def is_asked() -> bool:
        must(bench.cluster.admin.merge(sync.path(), {"metadata": {"labels": {"number": str(next(_numbers))}}}))
        return len(changed.decisions()) > asked

    wait_until(is_asked, SETTLE_SECONDS, "the API server asks about a step of a deletion")
    changed.stop()
    assert_gate_was_not_there(reconciler.remove_finalizer())
    assert reconciler.read()["metadata"]["finalizers"]


@KINDS
def test_what_syncs_cannot_be_changed_while_gate_is_down_not_even_during_a_deletion(
    kind: str, bench: Workbench, olareg: str, release: KeyPair, stopped: GateServer
) -> None:
    admin = bench.cluster.admin
    sync, reconciler = synced(bench, kind, olareg, release)
    stopped.stop()
    for deleted in (False, True):
        if deleted:
            must(admin.delete(sync.path()))
        assert_gate_was_not_there(admin.merge(sync.path(), {"spec": GIT | {"oci": None}}))
        assert_gate_was_not_there(admin.merge(sync.path(), {"spec": {"oci": {"dir": "other"}}}))
        for claim in ("other.example.test/x@sha256:" + "0" * 64, None):
            assert_gate_was_not_there(reconciler.patch({CLAIM: claim}))
        assert_gate_was_not_there(reconciler.patch({"configsync.gke.io/source-commit": "0" * 64}))


@KINDS
def test_what_is_being_deleted_is_verified_at_every_poll_as_long_as_it_syncs(
    kind: str, bench: Workbench, olareg: str, release: KeyPair, stopped: GateServer
) -> None:
    sync, reconciler = synced(bench, kind, olareg, release)
    must(bench.cluster.admin.delete(sync.path()))
    asked = len(stopped.decisions())
    must(reconciler.poll())
    (decision,) = stopped.decisions()[asked:]
    assert (decision["name"], decision["reason"]) == (sync.name, "verified")
    stopped.stop()
    assert_gate_was_not_there(reconciler.poll())
    must(reconciler.remove_finalizer())
    assert bench.cluster.admin.get(sync.path()).status == 404


def test_nothing_new_is_admitted_while_gate_is_down_and_the_next_poll_after_it_is(
    bench: Workbench, olareg: str, release: KeyPair, stopped: GateServer
) -> None:
    other = bench.sync("RootSync")
    _, reconciler = synced(bench, "RootSync", olareg, release)
    stopped.stop()
    assert_gate_was_not_there(bench.cluster.admin.create(other.list_path(), other.object(GIT)))
    assert_gate_was_not_there(reconciler.poll())
    (error,) = reconciler.read()["status"]["source"]["errors"]
    assert error["errorMessage"].startswith("KNV2002: ")
    stopped.start()
    must(reconciler.poll())


@KINDS
def test_what_synced_while_the_webhook_let_pass_is_denied_at_the_next_poll_that_gate_sees(
    kind: str, bench: Workbench, olareg: str, changed: GateServer
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    digest = repository.push("latest")
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    reconciler = bench.reconciler(sync)
    changed.stop()
    assert_gate_was_not_there(reconciler.poll())
    change_webhook(bench.cluster, lambda _: {"failurePolicy": "Ignore"})
    reconciler.poll_until(lambda answer: answer.ok, SETTLE_SECONDS)
    assert reconciler.read()["metadata"]["annotations"][CLAIM] == f"{repository}:latest@{digest}"
    changed.start()
    assert_denied(reconciler.poll_until(lambda answer: not answer.ok, SETTLE_SECONDS), "no signatures found", digest)
