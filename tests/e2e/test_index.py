"""Multi-platform images: real cosign signs the index or only a child, and Config Sync reports the child."""

from __future__ import annotations

import pytest

from tests.e2e.command import verify_with_key
from tests.e2e.cosign import SIGNERS, KeyPair, Signer
from tests.e2e.kubeapi import must
from tests.e2e.syncs import CLAIM, oci
from tests.e2e.test_admission import assert_denied
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench

TAG_SIGNER, _, BUNDLE_SIGNER = SIGNERS
SIGNED_WITH = pytest.mark.parametrize("signer", [TAG_SIGNER, BUNDLE_SIGNER], ids=lambda signer: signer.name)


@SIGNED_WITH
@pytest.mark.parametrize("signed", ["index", "child"])
@pytest.mark.parametrize("source", ["tag", "digest", "tag and digest"])
def test_a_signature_of_the_index_or_of_its_child_is_enough_from_create_to_sync(
    *, signer: Signer, signed: str, source: str, registry: str, bench: Workbench, release: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(registry), bench.sync("RootSync")
    index, child = repository.push_index("v1")
    signer.sign(f"{repository}@{index if signed == 'index' else child}", release)
    tag, pin = f"{repository}:v1", f"{repository}@{index}"
    image = {"tag": tag, "digest": pin, "tag and digest": f"{tag}@{index}"}[source]
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    must(reconciler.poll())
    assert reconciler.read()["metadata"]["annotations"][CLAIM] == f"{image}@{child}"
    decision = gate.decisions()[-1]["decisions"][0]
    vouching = index if signed == "index" or source != "tag" else None
    assert (decision["verdict"], decision["digest"], decision["index"]) == ("verified", child, vouching)
    assert (f"is listed by index {index}" in decision["message"]) is (signed == "index")
    for named in (tag, pin, f"{tag}@{child}"):
        assert verify_with_key(named, release)[0] == 0


@SIGNED_WITH
def test_an_index_that_is_not_signed_is_denied_by_name_with_its_child_and_so_is_the_child(
    signer: Signer, registry: str, bench: Workbench, release: KeyPair, stranger: KeyPair
) -> None:
    repository, sync = bench.repository(registry), bench.sync("RepoSync")
    index, child = repository.push_index("v1")
    signer.sign(f"{repository}@{index}", stranger)
    path = sync.list_path()
    assert_denied(bench.cluster.admin.create(path, sync.object(oci(f"{repository}@{index}"))), index)
    must(bench.cluster.admin.create(path, sync.object(oci(f"{repository}:v1"))))
    assert_denied(bench.reconciler(sync).poll(), child)
    code, printed = verify_with_key(f"{repository}@{index}", release)
    assert (code, printed["reason"], printed["digest"], printed["index"]) == (1, "untrusted", child, index)


def test_what_is_claimed_of_a_pinned_index_has_to_be_in_it(
    olareg: str, bench: Workbench, release: KeyPair, gate: GateServer
) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    (index, _), other = repository.push_index(), repository.push()
    for digest in (index, other):
        TAG_SIGNER.sign(f"{repository}@{digest}", release)
    image = f"{repository}@{index}"
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    assert_denied(bench.reconciler(sync).patch({CLAIM: f"{image}@{other}"}), index, other)
    assert gate.decisions()[-1]["reason"] == "source-mismatch"


def test_a_tag_that_was_moved_to_an_unsigned_index_is_denied(olareg: str, bench: Workbench, release: KeyPair) -> None:
    repository, sync = bench.repository(olareg), bench.sync("RootSync")
    index, _ = repository.push_index("v1")
    TAG_SIGNER.sign(f"{repository}@{index}", release)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:v1"))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    _, evil = repository.push_index("v1")
    assert_denied(reconciler.poll(), "no signatures found", evil)
