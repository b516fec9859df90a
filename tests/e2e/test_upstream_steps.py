"""The eleven steps of Config Sync's own end-to-end test of signature verification, with each kind of signature."""

from __future__ import annotations

import pytest

from tests.e2e.cosign import SIGNERS, KeyPair, Signer
from tests.e2e.kubeapi import must
from tests.e2e.reconciler import GIT_COMMIT, Reconciler, nomos_status
from tests.e2e.syncs import CLAIM, GIT, oci
from tests.e2e.webhook import CONFIGURATIONS
from tests.e2e.workbench import Workbench

SECONDS = 20  # for a new signature to be seen: 5 s that "none found" is kept, a poll, and a slow machine


def source_errors(reconciler: Reconciler) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = reconciler.read()["status"]["source"]["errors"]
    return errors


def assert_denied_for(reconciler: Reconciler, image: str, digest: str) -> None:
    """The status carries one source error 2002, whose text is Config Sync's around gate's own line."""
    (error,) = source_errors(reconciler)
    assert error["code"] == "2002"
    text, blank, more = error["errorMessage"].split("\n")
    assert text.startswith(
        f"KNV2002: failed to patch {reconciler.sync.kind} annotation: {CLAIM}: APIServer error: "
        'admission webhook "imageverification.webhook.com" denied the request: no signatures found'
    )
    assert digest in text
    assert image.removesuffix(":latest") in text
    assert (blank, more) == ("", "For more information, see https://g.co/cloud/acm-errors#knv2002")
    shown = nomos_status(reconciler.read())
    assert f"  ERROR{' ' * (len(shown.splitlines()[0].split()[0]) - 5)}   {digest.removeprefix('sha256:')}" in shown
    assert text in shown


def test_gate_is_asked_about_every_version_of_both_kinds(bench: Workbench) -> None:
    registered = must(bench.cluster.admin.get(f"{CONFIGURATIONS}/image-verification-webhook"))["webhooks"]
    (rule,) = (rule for webhook in registered for rule in webhook["rules"])
    assert set(rule["apiVersions"]) == {"v1beta1", "v1alpha1"}
    assert set(rule["resources"]) == {"rootsyncs", "reposyncs"}
    assert {"CREATE", "UPDATE"} <= set(rule["operations"])


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)
@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_an_image_syncs_once_its_digest_is_signed_and_not_before(
    kind: str, signer: Signer, registry: str, bench: Workbench, release: KeyPair
) -> None:
    admin, sync = bench.cluster.admin, bench.sync(kind)
    repository = bench.repository(registry)
    image = f"{repository}:latest"

    image0 = repository.push("latest")
    must(admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    must(reconciler.add_finalizer())
    assert not reconciler.poll().ok
    assert_denied_for(reconciler, image, image0)
    assert CLAIM not in reconciler.read()["metadata"].get("annotations", {})

    image1 = repository.push("latest")
    signer.sign(f"{repository}@{image0}", release)
    assert not reconciler.poll().ok
    assert_denied_for(reconciler, image, image1)

    signer.sign(f"{repository}@{image1}", release)
    reconciler.poll_until(lambda answer: answer.ok, SECONDS)
    synced = reconciler.read()
    assert synced["status"]["lastSyncedCommit"] == image1.removeprefix("sha256:")
    assert source_errors(reconciler) == []
    assert synced["metadata"]["annotations"][CLAIM] == f"{image}@{image1}"

    must(admin.merge(sync.path(), {"spec": GIT | {"oci": None}}))
    reconciler.restart()
    must(reconciler.poll())
    switched = reconciler.read()
    assert switched["status"]["lastSyncedCommit"] == GIT_COMMIT
    assert CLAIM not in switched["metadata"].get("annotations", {})
