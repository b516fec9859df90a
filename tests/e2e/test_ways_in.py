"""By whichever way an object is written, through whichever tool and version of the API, what is unsigned stays out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.images import Repository
from tests.e2e.kubeapi import Answer, Api, Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.reconciler import Reconciler, cluster_admin
from tests.e2e.syncs import CLAIM, Sync, oci
from tests.e2e.test_admission import assert_denied
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench

APPLY_PATCH = "application/apply-patch+yaml"  # server-side apply; JSON is YAML
REFUSED = 'admission webhook "imageverification.webhook.com" denied the request: '
KINDS = pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
VERSIONS = pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
# Each kind and each version once: every start of kubectl takes a quarter of a second.
FORMS = pytest.mark.parametrize(("kind", "version"), [("RootSync", "v1alpha1"), ("RepoSync", "v1beta1")])


@dataclass(frozen=True, slots=True)
class Images:
    """A repository with one image that is signed, tagged latest, and one that is not."""

    repository: Repository
    signed: str
    unsigned: str

    @property
    def tagged(self) -> str:
        """Return the signed image by its tag."""
        return f"{self.repository}:latest"

    def pinned(self, digest: str) -> str:
        """Return an image by its digest."""
        return f"{self.repository}@{digest}"


@pytest.fixture
def images(bench: Workbench, olareg: str, release: KeyPair) -> Images:
    repository = bench.repository(olareg)
    unsigned, signed = repository.push(), repository.push("latest")
    SIGNERS[0].sign(f"{repository}@{signed}", release)
    return Images(repository, signed, unsigned)


@pytest.fixture
def kubectl(bench: Workbench, tmp_path: Path) -> Kubectl:
    return Kubectl(bench.cluster, tmp_path)


def synced(bench: Workbench, kind: str, image: str) -> Reconciler:
    """Return the reconciler of a new object that has polled."""
    sync = bench.sync(kind)
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    return reconciler


def resource(sync: Sync, version: str) -> str:
    """Return the name that kubectl takes for an object in one version."""
    return f"{sync.kind.lower()}s.{version}.configsync.gke.io/{sync.name}"


# The status


@KINDS
@VERSIONS
def test_what_is_written_through_the_status_changes_neither_source_nor_claim(
    kind: str, version: str, bench: Workbench, images: Images, gate: GateServer
) -> None:
    reconciler = synced(bench, kind, images.tagged)
    sync, before, asked = reconciler.sync, reconciler.read(), len(gate.decisions())
    forged = oci(images.pinned(images.unsigned))
    claim = {CLAIM: f"{images.tagged}@{images.unsigned}"}
    path, admin = f"{sync.path(version)}/status", bench.cluster.admin
    body = {"metadata": {"annotations": claim}, "spec": forged, "status": {"observedGeneration": 7}}
    must(admin.merge(path, body))
    whole = must(admin.get(sync.path(version)))
    whole["metadata"]["annotations"] |= claim
    must(admin.replace(path, whole | {"spec": forged}))
    after = reconciler.read()
    assert after["status"]["observedGeneration"] == 7
    assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
    assert len(gate.decisions()) == asked, "gate is not asked about a status"
    assert_denied(admin.merge(sync.path(version), body), images.unsigned)  # what would change them is asked about


# Many namespaces


def test_each_of_many_reposyncs_syncs_by_its_own_signature_alone(
    bench: Workbench, olareg: str, images: Images, gate: GateServer
) -> None:
    tenants = [bench.sync("RepoSync") for _ in range(8)]
    tenants += [Sync("RepoSync", "second", each.namespace) for each in tenants[:2]]
    unsigned = bench.repository(olareg)
    digest = unsigned.push("latest")
    reconcilers = []
    for number, sync in enumerate(tenants):
        image = f"{unsigned}:latest" if number % 2 else images.tagged
        must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
        reconcilers.append(bench.reconciler(sync))
    for _ in range(2):
        for number, reconciler in enumerate(reconcilers):
            answer = reconciler.poll()
            if number % 2:
                assert_denied(answer, "no signatures found", digest)
            else:
                must(answer)
    polled = [(each["namespace"], each["name"]) for each in gate.decisions() if each["operation"] == "UPDATE"]
    for sync in tenants:
        assert polled.count((sync.namespace, sync.name)) == 2


def test_the_reconciler_of_one_reposync_makes_no_unsigned_claim_for_another(bench: Workbench, images: Images) -> None:
    first = synced(bench, "RepoSync", images.tagged)
    neighbour, stranger = Sync("RepoSync", "neighbour", first.sync.namespace), bench.sync("RepoSync")
    for sync in (neighbour, stranger):
        must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(images.tagged))))
    claim: dict[str, str | None] = {CLAIM: f"{images.tagged}@{images.unsigned}"}
    assert_denied(first.patch(claim, other=neighbour), "no signatures found", images.unsigned)
    assert first.patch(claim, other=stranger).status == 403, "the role of the reconciler ends at its namespace"


# What a synced source declares


@dataclass(frozen=True, slots=True)
class Parent:
    """The reconciler of a RootSync, which is cluster-admin and applies what its source declares."""

    api: Api

    def apply(self, sync: Sync, version: str, spec: Object, claim: str | None = None) -> Answer:
        """Apply an object as Config Sync does, on the server."""
        path = f"{sync.path(version)}?fieldManager=configsync&force=true"
        return self.api.send("PATCH", path, sync.object(spec, version, claim), APPLY_PATCH)


@pytest.fixture
def parent(bench: Workbench, images: Images) -> Parent:
    return Parent(cluster_admin(bench.cluster, synced(bench, "RootSync", images.tagged).sync))


@KINDS
@VERSIONS
def test_what_a_synced_source_declares_is_gated_like_everything_else(
    kind: str, version: str, bench: Workbench, images: Images, parent: Parent
) -> None:
    child = bench.sync(kind)
    unsigned = oci(images.pinned(images.unsigned))
    for spec, claim in ((unsigned, None), (oci(images.tagged), f"{images.tagged}@{images.unsigned}")):
        assert_denied(parent.apply(child, version, spec, claim), "no signatures found", images.unsigned)
        assert bench.cluster.admin.get(child.path()).status == 404
    must(parent.apply(child, version, oci(images.pinned(images.signed))))
    reconciler = bench.reconciler(child)
    must(reconciler.poll())
    assert_denied(parent.apply(child, version, unsigned), "no signatures found", images.unsigned)
    must(parent.apply(child, version, oci(images.tagged)))
    reconciler.restart()
    must(reconciler.poll())


# kubectl


@FORMS
def test_kubectl_applies_nothing_unsigned_on_the_server_not_even_by_force(
    kind: str, version: str, bench: Workbench, images: Images, kubectl: Kubectl
) -> None:
    sync = bench.sync(kind)
    command = ("apply", "--server-side", "--validate=strict", "-f", "-")
    unsigned = json.dumps(sync.object(oci(images.pinned(images.unsigned)), version))
    claimed = json.dumps(sync.object(oci(images.tagged), version, f"{images.tagged}@{images.unsigned}"))
    for document in (unsigned, claimed):
        assert f"{REFUSED}no signatures found for {images.pinned(images.unsigned)}" in refusal(
            kubectl, *command, document=document
        )
    kubectl.run(*command, document=json.dumps(sync.object(oci(images.tagged), version)))
    reconciler = bench.reconciler(sync)
    must(reconciler.poll())
    assert "conflict with" in refusal(kubectl, *command, document=claimed), "the claim is the reconciler's"
    for document in (unsigned, claimed):
        said = refusal(kubectl, *command, "--force-conflicts", document=document)
        assert f"{REFUSED}no signatures found for {images.pinned(images.unsigned)}" in said
    kubectl.run(*command, document=json.dumps(sync.object(oci(images.pinned(images.signed)), version)))
    reconciler.restart()
    must(reconciler.poll())


def refusal(kubectl: Kubectl, *arguments: str, document: str = "", **variables: str) -> str:
    """Return what kubectl says of a request that has to fail."""
    done = kubectl.start(*arguments, document=document, **variables)
    assert done.returncode == 1, done.stdout
    return done.stdout + done.stderr


@FORMS
def test_kubectl_edit_saves_no_unsigned_source_and_no_unsigned_claim(
    kind: str, version: str, bench: Workbench, images: Images, kubectl: Kubectl, tmp_path: Path
) -> None:
    reconciler = synced(bench, kind, images.pinned(images.signed))
    sync, before = reconciler.sync, reconciler.read()
    command = ("edit", resource(sync, version), "-n", sync.namespace)
    for expression, why in (
        (
            f"/ image: /s/{images.signed}/{images.unsigned}/",
            f"no signatures found for {images.pinned(images.unsigned)}",
        ),
        (f"/{KEY}/s/{images.signed}$/{images.unsigned}/", f"source-mismatch: {images.pinned(images.unsigned)}"),
    ):
        assert f"{REFUSED}{why}" in refusal(kubectl, *command, KUBE_EDITOR=editor(tmp_path, expression))
    after = reconciler.read()
    assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
    script = editor(tmp_path, f"/ image: /s|{images.pinned(images.signed)}|{images.tagged}|")
    assert kubectl.start(*command, KUBE_EDITOR=script).returncode == 0
    reconciler.restart()
    must(reconciler.poll())


KEY = "image-to-sync"


def editor(folder: Path, expression: str) -> str:
    """Return an editor that makes one change, and none when it is opened again."""
    script = folder / "editor"
    script.write_text(f"#!/bin/sh\nexec sed -i '{expression}' \"$1\"\n")
    script.chmod(0o755)
    return str(script)


# Backups


def backup(kubectl: Kubectl, sync: Sync, version: str) -> Object:
    """Return an object as it is kept: without what the API server writes by itself."""
    kept: Object = json.loads(kubectl.run("get", resource(sync, version), "-n", sync.namespace, "-o", "json"))
    for name in ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"):
        kept["metadata"].pop(name, None)
    return kept


@FORMS
def test_a_backup_is_restored_with_an_annotation_that_still_holds_and_with_no_other(
    kind: str, version: str, bench: Workbench, images: Images, kubectl: Kubectl
) -> None:
    reconciler = synced(bench, kind, images.tagged)
    sync, kept = reconciler.sync, backup(kubectl, reconciler.sync, version)
    assert kept["metadata"]["annotations"][CLAIM] == f"{images.tagged}@{images.signed}"
    must(bench.cluster.admin.delete(sync.path()))
    create = ("create", "-f", "-")

    stale = json.loads(json.dumps(kept))  # the image was moved after the annotation had been written
    stale["spec"]["oci"]["image"] = f"{images.repository}:v2"
    said = refusal(kubectl, *create, document=json.dumps(stale))
    assert f"{REFUSED}source-mismatch: " in said
    assert "remove the annotation; Config Sync sets it again" in said

    unsigned = json.loads(json.dumps(kept))  # it was made while nobody asked gate
    unsigned["metadata"]["annotations"][CLAIM] = f"{images.tagged}@{images.unsigned}"
    assert f"{REFUSED}no signatures found" in refusal(kubectl, *create, document=json.dumps(unsigned))

    kubectl.run(*create, document=json.dumps(kept))
    reconciler.restart()
    must(reconciler.poll())


def test_a_backup_with_a_stale_annotation_is_restored_once_that_is_removed(
    bench: Workbench, images: Images, kubectl: Kubectl
) -> None:
    sync = bench.sync("RootSync")
    kept = sync.object(oci(images.tagged), claim=f"{images.repository}:v1@{images.signed}")
    refusal(kubectl, "create", "-f", "-", document=json.dumps(kept))
    del kept["metadata"]["annotations"]
    kubectl.run("create", "-f", "-", document=json.dumps(kept))
    must(bench.reconciler(sync).poll())
