"""What the companion policies refuse and let pass where nobody asks gate: on a real API server, in each form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.companion import Held, assert_refused, create, in_force, make, policies
from tests.e2e.kubeapi import Answer, Object, must
from tests.e2e.syncs import CLAIM, GIT, Sync, oci
from tests.e2e.workbench import Workbench

URL, COMMIT = "configsync.gke.io/source-url", "configsync.gke.io/source-commit"
REPOSITORY = "registry.example.test/acme/config"
IMAGE, ANOTHER = f"{REPOSITORY}:v1", f"{REPOSITORY}:v2"
HEX_A, HEX_B = "a" * 64, "b" * 64
A, B = f"sha256:{HEX_A}", f"sha256:{HEX_B}"
BOUND = {CLAIM: f"{IMAGE}@{A}"}
STALE = {CLAIM: f"{ANOTHER}@{A}"}
CHARTS = "oci://registry.example.test/charts"
HELM = {"sourceType": "helm", "helm": {"repo": CHARTS, "chart": "edge", "version": "1.2.3", "auth": "none"}}
SHELL = oci(IMAGE) | {"override": {"enableShellInRendering": True}}

FORMS = [(kind, version) for kind in ("RootSync", "RepoSync") for version in ("v1beta1", "v1alpha1")]
# What each component refuses, in a new object and in one that is older than the component.
OLDER: dict[str, tuple[Object, dict[str, str]]] = {
    "oci-only": (GIT, {}),
    "no-shell": (SHELL, {}),
    "bound-annotation": (oci(IMAGE), STALE),
    "reconciler-writes": (oci(IMAGE), BOUND),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster in which one component is in force, in one form of the objects."""

    cluster: Cluster
    component: str
    kind: str
    version: str
    older: Held  # made before the component was there

    def create(self, spec: Object, annotations: dict[str, str] | None = None) -> Answer:
        """Ask for a new object."""
        return create(self.cluster, Workbench(self.cluster).sync(self.kind), self.version, spec, annotations)

    def make(self, spec: Object, annotations: dict[str, str] | None = None) -> Held:
        """Create a new object, which has to be admitted."""
        return make(self.cluster, self.kind, self.version, spec, annotations)

    def refuses(self, answer: Answer, *words: str) -> None:
        """The component refused it."""
        assert_refused(answer, self.component, *words)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster in which nobody asks gate, as if it were down and nobody had noticed."""
    with running_cluster(tmp_path_factory.mktemp("companion")) as running:
        yield running


@pytest.fixture(scope="module")
def enforced(
    request: pytest.FixtureRequest, bare: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Held]]:
    """Put the component that is asked for into force; return the objects of each form that were there before."""
    component: str = request.param
    older = {form: make(bare, *form, *OLDER[component]) for form in FORMS}
    probe = Sync("RootSync", f"probe-{component}")
    spec, annotations = OLDER[component]
    wanted = probe.object(spec)
    wanted["metadata"]["annotations"] = annotations

    def refused() -> Answer:
        return bare.admin.create(f"{probe.list_path()}?dryRun=All", wanted)

    must(refused())  # without the component it is admitted
    with in_force(bare, policies(component, tmp_path_factory.mktemp(component)), refused):
        yield older


@pytest.fixture
def scene(request: pytest.FixtureRequest, bare: Cluster, enforced: dict[tuple[str, str], Held], form: Any) -> Scene:  # noqa: ANN401 (a pair of the parameters)
    """Return the component in force, and the form of the objects."""
    component = request.node.callspec.params["enforced"]
    return Scene(bare, component, *form, older=enforced[form])


def component(name: str) -> pytest.MarkDecorator:
    """Mark a test as one of a component."""
    return pytest.mark.parametrize("enforced", [name], indirect=True)


pytestmark = pytest.mark.parametrize("form", FORMS, ids="-".join)


@component("oci-only")
def test_only_an_oci_source_is_created_or_switched_to(scene: Scene) -> None:
    scene.refuses(scene.create(GIT), "source-denied: spec.sourceType is git", "syncs only oci")
    scene.refuses(scene.create({"git": GIT["git"]}), "spec.sourceType is git")
    scene.refuses(scene.create(HELM), "spec.sourceType is helm")
    held = scene.make(oci(IMAGE))
    scene.refuses(held.merge({"spec": GIT | {"oci": None}}))
    scene.refuses(held.merge({"spec": {"sourceType": None, "git": GIT["git"]}}))
    must(held.merge({"spec": oci(ANOTHER)}))
    must(held.patch({CLAIM: f"{ANOTHER}@{A}"}))
    must(held.patch({CLAIM: f"{ANOTHER}@{A}"}))


@component("oci-only")
def test_an_older_git_source_does_not_poll_and_can_be_set_right(scene: Scene) -> None:
    scene.refuses(scene.older.patch({CLAIM: None}), "source-denied")
    repair_is_possible(scene.older)
    must(scene.older.merge({"spec": oci(IMAGE) | {"git": None}}))
    must(scene.older.patch(BOUND))


def repair_is_possible(older: Held) -> None:
    """Whoever may edit an object that is refused may do so, and its reconciler its housekeeping."""
    must(older.merge({"metadata": {"labels": {"team": "a"}}}))
    must(older.reconciler.add_finalizer())
    must(older.reconciler.remove_finalizer())


@component("no-shell")
def test_a_shell_in_rendering_is_neither_created_nor_switched_on(scene: Scene) -> None:
    scene.refuses(scene.create(SHELL), "spec.override.enableShellInRendering is true", "remove it")
    held = scene.make(oci(IMAGE) | {"override": {"enableShellInRendering": False, "statusMode": "enabled"}})
    scene.refuses(held.merge({"spec": {"override": {"enableShellInRendering": True}}}))
    must(held.patch(BOUND))
    must(scene.make(oci(IMAGE)).patch(BOUND))
    must(scene.make(GIT).patch({CLAIM: None}))


@component("no-shell")
def test_an_older_object_with_a_shell_does_not_poll_and_can_be_set_right(scene: Scene) -> None:
    scene.refuses(scene.older.patch(BOUND))
    scene.refuses(scene.older.patch({CLAIM: None}))
    repair_is_possible(scene.older)
    must(scene.older.merge({"spec": {"override": None}}))
    must(scene.older.patch(BOUND))


@component("bound-annotation")
@pytest.mark.parametrize(
    "annotations",
    [
        STALE,
        {CLAIM: f"{IMAGE}"},
        {CLAIM: f"{IMAGE}@{A}@{B}"},
        {CLAIM: f"{IMAGE}@{A}0"},
        {CLAIM: f"{IMAGE}@{A}\n"},
        {CLAIM: f"{IMAGE}@sha256:{'A' * 64}"},
        {URL: ANOTHER, COMMIT: HEX_A},
        {URL: IMAGE},
        {COMMIT: HEX_A},
        BOUND | {URL: IMAGE, COMMIT: HEX_B},
    ],
    ids=lambda annotations: " ".join(f"{name[18:]}={value[33:]}" for name, value in annotations.items()),
)
def test_a_claim_that_is_not_of_the_image_is_refused_whoever_makes_it(
    annotations: dict[str, str], scene: Scene
) -> None:
    scene.refuses(scene.create(oci(IMAGE), annotations), "source-mismatch: the annotation that says what ")
    held = scene.make(oci(IMAGE))
    scene.refuses(held.annotate(dict(annotations)), "remove the annotation; Config Sync sets it again")
    scene.refuses(held.patch(dict(annotations)))


@component("bound-annotation")
@pytest.mark.parametrize(
    ("spec", "annotations"),
    [
        (oci(IMAGE), BOUND),
        (oci(IMAGE), {URL: IMAGE, COMMIT: HEX_A}),
        (oci(IMAGE), BOUND | {URL: IMAGE, COMMIT: HEX_A}),
        (oci(REPOSITORY), {CLAIM: f"{REPOSITORY}@{A}"}),
        (oci(f"{REPOSITORY}@{A}"), {CLAIM: f"{REPOSITORY}@{A}@{A}"}),
        (oci(f"{IMAGE}@{A}"), {CLAIM: f"{IMAGE}@{A}@{B}"}),
        (HELM, {CLAIM: f"{CHARTS}@sha256:1.2.3"}),
        (GIT, {CLAIM: ""}),
    ],
)
def test_a_claim_of_the_own_source_is_let_pass(spec: Object, annotations: dict[str, str], scene: Scene) -> None:
    must(scene.create(spec, annotations))
    held = scene.make(spec)
    must(held.patch(dict(annotations)))
    must(held.patch(dict(annotations)))
    must(held.annotate(dict.fromkeys(annotations)))


@component("bound-annotation")
def test_nothing_is_claimed_of_git_and_of_a_chart_only_its_version(scene: Scene) -> None:
    scene.refuses(scene.create(GIT, BOUND))
    scene.refuses(scene.make(GIT).patch({CLAIM: f"@{A}"}))
    scene.refuses(scene.make(HELM).patch({CLAIM: f"{CHARTS}@sha256:1.2.4"}))
    scene.refuses(scene.make(HELM).patch({CLAIM: f"{CHARTS}@{A}"}))


@component("bound-annotation")
def test_a_source_changes_under_its_claim_and_only_the_poll_that_repeats_it_is_refused(scene: Scene) -> None:
    held = scene.make(oci(IMAGE), BOUND)
    must(held.merge({"spec": oci(ANOTHER)}))
    scene.refuses(held.patch(dict(BOUND)))
    must(held.patch(dict(STALE)))
    scene.refuses(scene.older.patch(dict(STALE)))
    repair_is_possible(scene.older)
    must(scene.older.annotate({CLAIM: None}))
    must(scene.older.patch(dict(BOUND)))


@component("reconciler-writes")
@pytest.mark.parametrize("claim", [BOUND, {URL: IMAGE}, {COMMIT: HEX_A}], ids=["claim", "url", "commit"])
def test_nobody_but_the_own_reconciler_makes_a_claim(claim: dict[str, str], scene: Scene) -> None:
    scene.refuses(scene.create(oci(IMAGE), claim), "source-mismatch: only system:serviceaccount:config-management-")
    held, other = scene.make(oci(IMAGE)), scene.make(oci(IMAGE))
    scene.refuses(held.annotate(dict(claim)), held.sync.reconciler, "remove the annotation")
    must(held.patch(dict(claim)))
    must(held.patch(dict(claim)))
    if scene.kind == "RootSync":  # its role is for all of them; that of a RepoSync is for one namespace
        scene.refuses(other.reconciler.patch({CLAIM: f"{IMAGE}@{B}"}, scene.version, held.sync))


@component("reconciler-writes")
def test_everybody_who_may_edit_an_object_may_do_so_around_the_claim_and_remove_it(scene: Scene) -> None:
    scene.refuses(scene.older.annotate({CLAIM: f"{IMAGE}@{B}"}))
    repair_is_possible(scene.older)
    must(scene.older.merge({"spec": oci(ANOTHER)}))
    must(scene.older.annotate({CLAIM: None}))
    scene.refuses(scene.older.annotate(dict(BOUND)))
    must(scene.create(oci(IMAGE)))
