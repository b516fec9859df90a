"""What keeps gate itself safe, and git away from it: on a real API server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.fronts.admission import parse_review
from gate.fronts.configsync import Admit, Refuse, examine
from gate.trust.policyfile import load_policy
from tests.e2e.cluster import RBAC, SYSTEM_NAMESPACE, Cluster, running_cluster
from tests.e2e.companion import LISTS, Held, assert_refused, create, in_force, make, policies
from tests.e2e.cosign import KeyPair
from tests.e2e.kubeapi import Answer, Api, Object, must
from tests.e2e.reconciler import cluster_admin
from tests.e2e.syncs import CLAIM, GIT, Sync, oci
from tests.e2e.webhook import CONFIGURATIONS, GateServer, register
from tests.e2e.workbench import Workbench
from tests.fakes.reviews import encode, review
from tests.fakes.roots import FakeRoots
from tests.fakes.signing import NOW
from tests.integration import kustomize

NAMESPACE, ELSEWHERE = "oci-webhook", "elsewhere"
WEBHOOK = "image-verification-webhook"
EMPTY: Object = {"metadata": {"labels": {"a": "b"}}}
BYSTANDER = f"{CONFIGURATIONS}/bystander"
KINDS = pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster in which nobody asks gate."""
    with running_cluster(tmp_path_factory.mktemp("companion-gate")) as running:
        yield running


# Protection of gate's own objects


@pytest.fixture(scope="module")
def reconciler(bare: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return a reconciler that is cluster-admin, as a RootSync's is; gate's objects are protected from it."""
    for name in (NAMESPACE, ELSEWHERE):
        bare.namespace(name)
        for plural, wanted in (("secrets", "cosign-key"), ("configmaps", "gate-policy"), ("serviceaccounts", "sa")):
            must(bare.admin.create(f"/api/v1/namespaces/{name}/{plural}", {"metadata": {"name": wanted}}))
    for name in (WEBHOOK, "bystander"):
        must(bare.admin.create(CONFIGURATIONS, {"metadata": {"name": name}}))
    bare.service_account(SYSTEM_NAMESPACE, "root-reconciler")
    api = cluster_admin(bare, Sync("RootSync", "root-sync"))
    webhook = f"{CONFIGURATIONS}/{WEBHOOK}?dryRun=All"
    for answer in (api.merge(webhook, EMPTY), api.delete(webhook)):
        must(answer)  # without the component it is admitted

    def refused() -> Answer:
        return api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps?dryRun=All", {"metadata": {"name": "probe"}})

    objects = policies("self-protection", tmp_path_factory.mktemp("self-protection"))
    with in_force(bare, objects, refused):
        yield api


def namespaced(api: Api, namespace: str, dry_run: str) -> Iterator[tuple[str, Answer]]:
    """Try everything that would change gate, in a namespace."""
    base = f"/api/v1/namespaces/{namespace}"
    yield "replace a key", api.merge(f"{base}/secrets/cosign-key{dry_run}", {"stringData": {"cosign.pub": "another"}})
    yield "delete a key", api.delete(f"{base}/secrets/cosign-key{dry_run}")
    yield "delete all keys", api.delete(f"{base}/secrets{dry_run}")
    yield "edit the policy", api.merge(f"{base}/configmaps/gate-policy{dry_run}", {"data": {"policy.yaml": ""}})
    yield "delete the policy", api.delete(f"{base}/configmaps/gate-policy{dry_run}")
    yield "create a Secret", api.create(f"{base}/secrets{dry_run}", {"metadata": {"name": "registry-token"}})
    yield "create a role", api.create(f"{RBAC}/namespaces/{namespace}/roles{dry_run}", {"metadata": {"name": "r"}})
    token: Object = {"spec": {"expirationSeconds": 600}}
    yield "take its identity", api.create(f"{base}/serviceaccounts/sa/token{dry_run}", token)
    yield "relabel the namespace", api.merge(f"{base}{dry_run}", EMPTY)
    yield "delete the namespace", api.delete(f"{base}{dry_run}")


def test_config_sync_changes_nothing_in_the_namespace_of_gate_and_everything_elsewhere(reconciler: Api) -> None:
    for what, answer in namespaced(reconciler, NAMESPACE, ""):
        assert not answer.ok, what
        assert_refused(answer, "self-protection", "Config Sync does not write gate's own objects")
    for what, answer in namespaced(reconciler, ELSEWHERE, "?dryRun=All"):
        assert answer.ok, f"{what}: {answer.message}"


def test_config_sync_neither_edits_nor_deletes_the_webhook_nor_makes_another_of_its_name(
    reconciler: Api, bare: Cluster
) -> None:
    webhook = f"{CONFIGURATIONS}/{WEBHOOK}"
    all_of_them = reconciler.delete(f"{CONFIGURATIONS}?dryRun=All")
    for answer in (reconciler.merge(webhook, EMPTY), reconciler.delete(webhook), all_of_them):
        assert_refused(answer, "self-protection")
    must(bare.admin.delete(webhook))
    assert_refused(reconciler.create(CONFIGURATIONS, {"metadata": {"name": WEBHOOK}}), "self-protection")
    must(bare.admin.create(CONFIGURATIONS, {"metadata": {"name": WEBHOOK}}))
    must(bare.admin.merge(f"{CONFIGURATIONS}/{WEBHOOK}", EMPTY))


def test_config_sync_goes_on_writing_other_webhooks(reconciler: Api) -> None:
    must(reconciler.create(f"{CONFIGURATIONS}?dryRun=All", {"metadata": {"name": "new"}}))
    must(reconciler.merge(f"{BYSTANDER}?dryRun=All", EMPTY))
    must(reconciler.delete(f"{BYSTANDER}?dryRun=All"))


def test_everybody_else_who_may_change_gate_still_may(reconciler: Api, bare: Cluster) -> None:
    assert reconciler.url == bare.url  # the policy is in force
    for what, answer in namespaced(bare.admin, NAMESPACE, "?dryRun=All"):
        assert answer.ok, f"{what}: {answer.message}"


def test_no_admission_policy_guards_admission_policies_so_rbac_has_to(reconciler: Api) -> None:
    for listed in LISTS.values():
        must(reconciler.delete(f"{listed}/gate-self-protection?dryRun=All"))


# Traffic about git alone

POLICY = """
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {{git: {git}, helmHttp: deny, helmOci: deny}}
rules:
  - name: everything
    match: {{images: ["**"]}}
    static: pass
"""
OCI = oci("registry.example.test/acme/config:v1")
CLAIMED: dict[str, str | None] = {CLAIM: f"registry.example.test/acme/config:v1@sha256:{'a' * 64}"}


@dataclass(frozen=True, slots=True)
class Strict:
    """A gate that denies git and is not asked about git alone, and objects that were there before it."""

    server: GateServer
    git: dict[str, Held]
    claimed: dict[str, Held]  # on git, with what is left of an image
    oci: dict[str, Held]


def policy_file(folder: Path, git: str) -> Path:
    """Write a policy with this choice for git."""
    path = folder / f"{git}.yaml"
    path.write_text(POLICY.format(git=git))
    return path


@pytest.fixture(scope="module")
def strict(bare: Cluster, release: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    """Return gate, registered as the overlay says that leaves traffic about git alone to the API server."""
    folder = tmp_path_factory.mktemp("strict-gate")

    def older(spec: Object, annotations: dict[str, str] | None = None) -> dict[str, Held]:
        forms = {"RootSync": "v1beta1", "RepoSync": "v1alpha1"}
        return {kind: make(bare, kind, version, spec, annotations) for kind, version in forms.items()}

    left = {CLAIM: str(CLAIMED[CLAIM])}
    objects = older(GIT), older(GIT, left), older(OCI)
    overlay = kustomize.overlay(folder, ["git-outside"])
    with GateServer(folder, release, [], GATE_POLICY=str(policy_file(folder, "deny"))) as server:
        bare.admin.delete(f"{CONFIGURATIONS}/{WEBHOOK}")
        register(bare, server, kustomize.one(overlay, "ValidatingWebhookConfiguration"))
        try:
            yield Strict(server, *objects)
        finally:
            must(bare.admin.delete(f"{CONFIGURATIONS}/{WEBHOOK}"))


@pytest.fixture
def down(strict: Strict) -> Iterator[Strict]:
    """Stop gate, which runs again afterwards."""
    strict.server.stop()
    try:
        yield strict
    finally:
        strict.server.start()


def about_git_alone(held: Held) -> Iterator[tuple[str, Answer]]:
    """Do what an object on git goes through, as its reconciler and its owner; give the sender of each."""
    reconciler = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{held.sync.reconciler}"
    yield reconciler, held.patch({CLAIM: None})
    yield "admin", held.merge({"metadata": {"labels": {"number": str(next(_numbers))}}})
    yield "admin", held.merge({"spec": {"git": {"repo": f"https://git.example.test/{next(_numbers)}"}}})


_numbers = itertools.count()


@KINDS
def test_git_goes_on_while_gate_is_down(kind: str, down: Strict) -> None:
    for _, answer in about_git_alone(down.git[kind]):
        must(answer)


@KINDS
def test_whatever_is_not_about_git_alone_waits_for_gate(kind: str, down: Strict, bare: Cluster) -> None:
    git, on_oci = down.git[kind], down.oci[kind]
    new = Workbench(bare).sync(kind)
    for answer in (
        create(bare, new, git.version, GIT),
        git.merge({"spec": OCI}),
        git.patch(CLAIMED),
        git.patch({"configsync.gke.io/source-commit": "a" * 64}),
        down.claimed[kind].patch({CLAIM: None}),
        down.claimed[kind].merge({"metadata": {"labels": {"team": "a"}}}),
        on_oci.merge({"spec": GIT | {"oci": None}}),
        on_oci.merge({"spec": GIT}),
        on_oci.patch(CLAIMED),
    ):
        assert answer.status == 500, answer.message
        assert 'failed calling webhook "imageverification.webhook.com"' in answer.message


@KINDS
def test_gate_would_admit_what_it_is_not_asked_about_and_where_it_denies_git_the_api_server_does(
    kind: str, strict: Strict, bare: Cluster, tmp_path: Path
) -> None:
    held = strict.git[kind]
    policy = {git: load_policy(policy_file(tmp_path, git), FakeRoots()) for git in ("allow", "existing", "deny")}
    asked = len(strict.server.decisions())
    denied = 0
    before = held.reconciler.read()
    for username, answer in about_git_alone(held):
        must(answer)  # without oci-only it passes, also where the policy says deny
        document = encode(review(answer.body, before | {"apiVersion": answer.body["apiVersion"]}, username=username))
        outcomes = {git: examine(parse_review(document), each, NOW) for git, each in policy.items()}
        assert isinstance(outcomes["allow"], Admit)
        assert isinstance(outcomes["existing"], Admit)
        denied += isinstance(outcomes["deny"], Refuse)
        before = held.reconciler.read()
    assert denied == 2  # the poll, and the change of the source, which matters at the next poll
    assert len(strict.server.decisions()) == asked
    with in_force(bare, policies("oci-only", tmp_path), lambda: held.patch({CLAIM: None})):
        for _ in about_git_alone(held):
            assert_refused(held.patch({CLAIM: None}), "oci-only")
    must(held.patch({CLAIM: None}))
