"""What else must not pass, and what must: each case through the real API server and a real registry."""

from __future__ import annotations

import pytest

from tests.e2e.cosign import SIGNERS, KeyPair, Signer
from tests.e2e.kubeapi import Answer, must
from tests.e2e.syncs import CLAIM, GIT, oci
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench

TAG_SIGNER, _, BUNDLE_SIGNER = SIGNERS
KINDS = pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
SIGNED_WITH = pytest.mark.parametrize("signer", [TAG_SIGNER, BUNDLE_SIGNER], ids=lambda signer: signer.name)


def assert_denied(answer: Answer, *words: str) -> None:
    """The request was refused by gate, in one line, with status 400, and the message has all the words."""
    assert answer.status == 400, answer.message
    assert 'admission webhook "imageverification.webhook.com" denied the request: ' in answer.message
    assert "\n" not in answer.message
    for word in words:
        assert word in answer.message


def reason(gate: GateServer) -> object:
    """Return the reason of the newest decision that gate recorded."""
    return gate.decisions()[-1]["reason"]


@KINDS
def test_an_annotation_that_names_an_unsigned_digest_is_denied_at_create(
    kind: str, bench: Workbench, olareg: str
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    digest = repository.push("latest")
    preset = sync.object(oci(f"{repository}:latest"), claim=f"{repository}:latest@{digest}")
    answer = bench.cluster.admin.create(sync.list_path(), preset)
    assert_denied(answer, "no signatures found", digest)
    assert bench.cluster.admin.get(sync.path()).status == 404


@KINDS
@SIGNED_WITH
def test_a_pinned_digest_that_is_signed_is_admitted_and_polled(
    kind: str, signer: Signer, bench: Workbench, olareg: str, release: KeyPair
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    image = f"{repository}@{repository.push()}"
    signer.sign(image, release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    must(reconciler.poll())
    claim = reconciler.read()["metadata"]["annotations"][CLAIM]
    assert claim == f"{image}@{image.partition('@')[2]}"


@KINDS
def test_a_pinned_digest_that_is_not_signed_is_denied_at_create(kind: str, bench: Workbench, distribution: str) -> None:
    repository, sync = bench.repository(distribution), bench.sync(kind)
    digest = repository.push("v1")
    answer = bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:v1@{digest}")))
    assert_denied(answer, "no signatures found", digest)


def test_changing_the_source_to_an_unsigned_pinned_digest_is_denied(
    bench: Workbench, olareg: str, release: KeyPair
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    signed, unsigned = repository.push(), repository.push()
    TAG_SIGNER.sign(f"{repository}@{signed}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}@{signed}"))))
    answer = bench.cluster.admin.merge(sync.path(), {"spec": oci(f"{repository}@{unsigned}")})
    assert_denied(answer, "no signatures found", unsigned)


@SIGNED_WITH
def test_a_signature_by_another_key_is_denied_and_does_not_hide_a_good_one(
    signer: Signer, bench: Workbench, olareg: str, release: KeyPair, stranger: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    foreign, both = repository.push(), repository.push()
    for digest in (foreign, both):
        signer.sign(f"{repository}@{digest}", stranger)
    signer.sign(f"{repository}@{both}", release)
    path = f"{sync.list_path()}?dryRun=All"
    answer = bench.cluster.admin.create(path, sync.object(oci(f"{repository}@{foreign}")))
    assert_denied(answer, foreign)
    assert "no signatures found" not in answer.message
    assert reason(gate) == "untrusted"
    must(bench.cluster.admin.create(path, sync.object(oci(f"{repository}@{both}"))))


def test_a_signature_that_was_copied_from_another_image_is_denied(
    bench: Workbench, distribution: str, release: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(distribution), bench.sync("RootSync")
    signed, evil = repository.push(), repository.push()
    TAG_SIGNER.sign(f"{repository}@{signed}", release)
    repository.copy_signature(signed, evil)
    answer = bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}@{evil}")))
    assert_denied(answer, evil, "1 wrong-digest: the signature is valid, but it signs another digest")
    assert reason(gate) == "untrusted"


def test_a_signed_child_of_an_index_is_admitted(bench: Workbench, olareg: str, release: KeyPair) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    _, child = repository.push_index("v1")
    TAG_SIGNER.sign(f"{repository}@{child}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:v1"))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    assert reconciler.read()["metadata"]["annotations"][CLAIM] == f"{repository}:v1@{child}"


@pytest.mark.parametrize("generation", ["image-to-sync", "source-url and source-commit"])
@KINDS
def test_a_claim_on_an_object_that_was_switched_to_git_is_denied(
    kind: str, generation: str, bench: Workbench, olareg: str, release: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    image, digest = f"{repository}:latest", repository.push("latest")
    TAG_SIGNER.sign(f"{repository}@{digest}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    old = bench.reconciler(sync)
    claims: dict[str, str | None] = {CLAIM: f"{image}@{digest}"}
    if generation != "image-to-sync":
        commit = digest.removeprefix("sha256:")
        claims = {"configsync.gke.io/source-url": image, "configsync.gke.io/source-commit": commit}
    must(old.patch(claims))
    must(bench.cluster.admin.merge(sync.path(), {"spec": GIT | {"oci": None}}))
    assert_denied(old.patch(claims))
    assert reason(gate) == "source-mismatch"


@KINDS
def test_v1alpha1_objects_are_gated_as_well(kind: str, bench: Workbench, olareg: str) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    image, digest = f"{repository}:latest", repository.push("latest")
    listed, claim = sync.list_path("v1alpha1"), f"{image}@{digest}"
    admin = bench.cluster.admin
    answer = admin.create(listed, sync.object(oci(image), "v1alpha1", claim=claim))
    assert_denied(answer, "no signatures found", digest)
    must(admin.create(listed, sync.object(oci(image), "v1alpha1")))
    answer = bench.reconciler(sync).patch({CLAIM: claim}, "v1alpha1")
    assert_denied(answer, "no signatures found", digest)


def test_an_unsigned_claim_is_denied_whoever_makes_it_and_clearing_one_is_allowed(
    bench: Workbench, olareg: str, release: KeyPair
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    image, digest = f"{repository}:latest", repository.push("latest")
    TAG_SIGNER.sign(f"{repository}@{digest}", release)
    admin = bench.cluster.admin
    must(admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    unsigned = repository.push()
    answer = admin.merge(sync.path(), {"metadata": {"annotations": {CLAIM: f"{image}@{unsigned}"}}})
    assert_denied(answer, "no signatures found", unsigned)
    must(admin.merge(sync.path(), {"metadata": {"annotations": {CLAIM: None}}}))
    must(reconciler.poll())
    assert reconciler.read()["metadata"]["annotations"][CLAIM] == f"{image}@{digest}"


def test_a_poll_that_changes_nothing_is_decided_and_recorded_each_time(
    bench: Workbench, olareg: str, release: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    digest = repository.push("latest")
    TAG_SIGNER.sign(f"{repository}@{digest}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    reconciler = bench.reconciler(sync)
    for _ in range(3):
        must(reconciler.poll())
    records = [each for each in gate.decisions() if each["name"] == sync.name and each["operation"] == "UPDATE"]
    assert [each["reason"] for each in records] == ["verified"] * 3
    assert all(each["decisions"][0]["digest"] == digest for each in records)


@KINDS
def test_a_sync_that_is_denied_can_still_be_repaired_labelled_and_deleted(
    kind: str, bench: Workbench, olareg: str
) -> None:
    repository, sync = bench.repository(olareg), bench.sync(kind)
    repository.push("latest")
    admin = bench.cluster.admin
    must(admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
    reconciler = bench.reconciler(sync)
    assert_denied(reconciler.poll(), "no signatures found")
    must(admin.merge(sync.path(), {"metadata": {"labels": {"team": "a"}}}))
    must(reconciler.add_finalizer())
    must(admin.merge(sync.path(), {"spec": {"oci": {"period": "30s"}}}))
    must(admin.delete(sync.path()))
    must(reconciler.remove_finalizer())
    assert admin.get(sync.path()).status == 404


def test_a_helm_chart_in_a_registry_is_denied(bench: Workbench, olareg: str, gate: GateServer) -> None:
    sync = bench.sync("RootSync")
    chart = {"repo": f"oci://{olareg}/charts", "chart": "edge", "version": "1.2.3", "auth": "none"}
    answer = bench.cluster.admin.create(sync.list_path(), sync.object({"sourceType": "helm", "helm": chart}))
    assert_denied(answer)
    assert reason(gate) == "helm-oci"


def test_a_registry_that_does_not_answer_is_not_taken_for_a_missing_signature(
    bench: Workbench, gate: GateServer
) -> None:
    sync = bench.sync("RootSync")
    image = f"127.0.0.1:1/acme/config@sha256:{'0' * 64}"
    answer = bench.cluster.admin.create(sync.list_path(), sync.object(oci(image)))
    assert_denied(answer)
    assert "no signatures found" not in answer.message
    assert reason(gate) in {"registry-unreachable", "registry-address"}
