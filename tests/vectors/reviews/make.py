"""Makes the review vectors: for each case an AdmissionReview, a policy's choices, and what is to be done about it.

Run ``python -m tests.vectors.reviews.make`` in the project's directory. What each case expects is written down here;
only its message comes from the code, so that a changed sentence shows up as a changed file. A directory's name ends
in the decision: ``_admit``, ``_deny`` or ``_verify`` (by the digests in expected.json).
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.core.globs import ImageGlob
from gate.core.oci import Digest
from gate.core.policy import Fail, HelmOciChoice, Match, NoMatch, Policy, Rule, SourceChoice, Sources
from gate.fronts.admission import parse_review
from gate.fronts.configsync import Ask, Offline, examine, offline
from tests.fakes.reviews import (
    IMAGE,
    IMAGE_TO_SYNC,
    RECONCILERS,
    SOURCE_COMMIT,
    SOURCE_URL,
    A,
    B,
    Document,
    claim,
    git,
    helm,
    oci,
    pair,
    poll,
    review,
    sync,
)
from tests.fakes.signing import NOW

HERE = Path(__file__).parent
DECISIONS = {"allow": "admit", "deny": "deny", "verify": "verify"}

TAG, PIN, TAG_AND_PIN = f"{IMAGE}:v1", f"{IMAGE}@{A}", f"{IMAGE}:v1@{A}"
ANOTHER = "registry.example.com/team/another:v1"
CHARTS, WEB = "oci://registry.example.com/charts", "https://charts.example.com"
CHART = "registry.example.com/charts/app"
HEX_A, HEX_B = A.removeprefix("sha256:"), B.removeprefix("sha256:")

OPEN: Document = {"noMatch": "deny", "git": "allow", "helmHttp": "allow", "requireDigest": False, "images": ["**"]}
EXISTING = {**OPEN, "git": "existing", "helmHttp": "existing"}
CLOSED = {**OPEN, "git": "deny", "helmHttp": "deny", "requireDigest": True}
ELSEWHERE = {**OPEN, "images": ["registry.example.com/platform/**"]}
ELSEWHERE_WARN = {**ELSEWHERE, "noMatch": "warn"}
ONLY_A = {**OPEN, "digests": [A]}
RESOLVE = {**OPEN, "helmOci": "resolve"}


@dataclass(frozen=True)
class Shape:
    """In which API versions a case is made; every case is made in all of them."""

    name: str
    kind: str
    version: str
    api_version: str

    def sync(self, spec: Document, annotations: Document | None = None, **metadata: object) -> Document:
        return sync(spec, annotations, kind=self.kind, version=self.version, **metadata)

    def review(self, new: Document | None, old: Document | None = None, **fields: Any) -> Document:  # noqa: ANN401 (any field of the request)
        return review(new, old, api_version=self.api_version, **fields)

    def own(self, new: Document, old: Document) -> Document:
        """The update is sent by the object's own reconciler."""
        return self.review(new, old, username=RECONCILERS[self.kind])

    def poll(self, held: Document) -> Document:
        return poll(held, api_version=self.api_version)


SHAPES = (
    Shape("root", "RootSync", "v1beta1", "admission.k8s.io/v1"),
    Shape("repo", "RepoSync", "v1alpha1", "admission.k8s.io/v1beta1"),
)


@dataclass(frozen=True)
class Case:
    """``reason`` is None where something is to be verified, and ``digests`` then says what."""

    name: str
    review: Document
    reason: str | None = None
    digests: tuple[str, ...] = ()
    policy: Document | None = None
    tags: tuple[str, ...] = ()  # of a chart, which has no digest before it is looked up

    @property
    def decision(self) -> str:
        return "verify" if self.reason is None else "allow" if self.reason in _ADMITTING else "deny"


_ADMITTING = {"status", "delete", "unchanged", "git", "helm-http", "no-digest-yet", "claim-removed"}


def changed(held: Document, **metadata: object) -> Document:
    """The object with other metadata."""
    new = copy.deepcopy(held)
    new["metadata"].update(metadata)
    return new


def _step_0(s: Shape) -> Iterator[Case]:
    tag, claimed = s.sync(oci(TAG)), s.sync(oci(TAG), claim(f"{TAG}@{A}"))
    yield Case("0-status", s.review(claimed, tag, subResource="status"), "status")
    yield Case("0-empty-subresource", s.review(claimed, tag, subResource=""), digests=(A,))
    yield Case("0-delete", s.review(None, claimed), "delete")
    yield Case("0-unknown-operation", s.review(tag, operation="CONNECT"), "malformed")


def _step_1(s: Shape) -> Iterator[Case]:
    held = s.sync(oci(TAG), claim(f"{TAG}@{A}"), finalizers=["configsync.gke.io/reconciler"])
    leaving = changed(held, deletionTimestamp="2026-01-01T00:00:00Z")
    period = s.sync(oci(TAG, period="0s"), claim(f"{TAG}@{A}"), finalizers=["configsync.gke.io/reconciler"])
    bad = s.sync({"sourceType": "oci"}, claim("nonsense"))
    yield Case("1-label", s.review(changed(held, labels={"a": "b"}), held), "unchanged")
    yield Case("1-finalizer-removed", s.own(changed(leaving, finalizers=[]), leaving), "unchanged")
    yield Case("1-period", s.own(period, held), "unchanged")
    yield Case("1-other-annotation", s.review(_annotated(held, {"note": "x"}), held), "unchanged")
    yield Case("1-bad-object-labelled", s.review(changed(bad, labels={"a": "b"}), bad), "unchanged")
    yield Case("1-no-op-of-somebody", s.review(changed(held, resourceVersion="101"), held), "unchanged")
    yield Case("1-empty-claim-added", s.review(s.sync(oci(), claim("")), s.sync(oci())), "unchanged")


def _annotated(held: Document, annotations: Document) -> Document:
    return changed(held, annotations={**held["metadata"]["annotations"], **annotations})


def _step_2(s: Shape) -> Iterator[Case]:
    on_git, on_web, on_oci = s.sync(git()), s.sync(helm(WEB)), s.sync(oci(TAG))
    moved = s.sync(git("https://git.example.com/other"))
    for name, new, reason in (("git", on_git, "git"), ("helm-http", on_web, "helm-http")):
        yield Case(f"2-{name}-created", s.review(new), reason)
        yield Case(f"2-{name}-created-existing", s.review(new), "source-denied", policy=EXISTING)
        yield Case(f"2-{name}-switched", s.review(new, on_oci), reason)
        yield Case(f"2-{name}-switched-existing", s.review(new, on_oci), "source-denied", policy=EXISTING)
        yield Case(f"2-{name}-poll-existing", s.poll(new), reason, policy=EXISTING)
        yield Case(f"2-{name}-poll-denied", s.poll(new), "source-denied", policy=CLOSED)
    yield Case("2-git-moved-existing", s.review(moved, on_git), "git", policy=EXISTING)
    yield Case("2-git-to-helm-existing", s.review(on_web, on_git), "source-denied", policy=EXISTING)
    yield Case("2-git-by-default", s.review(s.sync({"git": git()["git"]})), "git")
    yield Case("2-helm-oci-created", s.review(s.sync(helm(CHARTS))), "helm-oci")
    yield Case("2-helm-oci-switched", s.review(s.sync(helm(CHARTS)), on_oci), "helm-oci")
    yield Case("2-helm-oci-poll", s.poll(s.sync(helm(CHARTS))), "helm-oci")
    yield Case("2-tag-created", s.review(on_oci), "no-digest-yet")
    yield Case("2-tag-created-digest-required", s.review(on_oci), "digest-required", policy=CLOSED)
    yield Case("2-tag-poll-digest-required", _poll_of(s, TAG, f"{TAG}@{A}"), "digest-required", policy=CLOSED)
    yield Case("2-tag-no-rule", s.review(on_oci), "no-rule", policy=ELSEWHERE)
    yield Case("2-tag-no-rule-warn", s.review(on_oci), "no-digest-yet", policy=ELSEWHERE_WARN)
    yield Case("2-tag-rule-by-digest", s.review(on_oci), "no-rule", policy=ONLY_A)
    yield Case("2-poll-rule-by-digest", _poll_of(s, TAG, f"{TAG}@{A}"), digests=(A,), policy=ONLY_A)
    yield Case("2-poll-rule-by-another-digest", _poll_of(s, TAG, f"{TAG}@{B}"), "no-rule", policy=ONLY_A)
    yield Case("2-pin-no-rule", s.review(s.sync(oci(PIN))), "no-rule", policy=ELSEWHERE)
    yield Case("2-dir-changed", s.review(s.sync(oci(TAG, dir="b")), s.sync(oci(TAG, dir="a"))), "no-digest-yet")


def _poll_of(s: Shape, image: str, claimed: str) -> Document:
    return s.poll(s.sync(oci(image), claim(claimed)))


def _step_3(s: Shape) -> Iterator[Case]:
    tag = s.sync(oci(TAG), claim(f"{TAG}@{B}"))
    pinned = s.sync(oci(PIN, dir="b"), claim(f"{PIN}@{A}"))
    child = s.sync(oci(PIN, dir="b"), claim(f"{PIN}@{B}"))
    yield Case("3-pin-created", s.review(s.sync(oci(PIN))), digests=(A,), policy=CLOSED)
    yield Case("3-tag-and-pin-created", s.review(s.sync(oci(TAG_AND_PIN))), digests=(A,))
    yield Case("3-pin-switched-stale-claim", s.review(_respec(tag, oci(PIN)), tag), digests=(A,))
    yield Case("3-pin-dir-changed", s.review(pinned, _respec(pinned, oci(PIN))), digests=(A,))
    yield Case("3-pin-dir-changed-child", s.review(child, _respec(child, oci(PIN))), digests=(B,))
    yield Case("3-tag-dir-changed", s.review(_respec(tag, oci(TAG, dir="b")), tag), "no-digest-yet")
    yield Case("3-pin-poll", _poll_of(s, PIN, f"{PIN}@{A}"), digests=(A,))
    yield Case("3-pin-poll-child", _poll_of(s, PIN, f"{PIN}@{B}"), digests=(B,))
    yield Case("3-pin-poll-child-rule-by-pin", _poll_of(s, PIN, f"{PIN}@{B}"), digests=(B,), policy=ONLY_A)
    yield Case("3-pin-poll-child-no-rule", _poll_of(s, PIN, f"{PIN}@{B}"), "no-rule", policy=ELSEWHERE)


def _respec(held: Document, spec: Document) -> Document:
    return {**copy.deepcopy(held), "spec": spec}


def _step_4(s: Shape) -> Iterator[Case]:
    for name, image in (("tag", TAG), ("bare", IMAGE)):
        yield Case(f"4-{name}-claimed", _claimed(s, oci(image), claim(f"{image}@{A}")), digests=(A,))
        yield Case(f"4-{name}-poll", _poll_of(s, image, f"{image}@{A}"), digests=(A,))
        yield Case(
            f"4-{name}-claimed-by-somebody", _claimed(s, oci(image), claim(f"{image}@{A}"), own=False), digests=(A,)
        )
    yield Case("4-created-with-claim", s.review(s.sync(oci(TAG), claim(f"{TAG}@{A}"))), digests=(A,))
    yield Case("4-created-with-stale-claim", s.review(s.sync(oci(TAG), claim(f"{ANOTHER}@{A}"))), _MISMATCH)
    yield Case("4-pin-claimed", _claimed(s, oci(PIN), claim(f"{PIN}@{A}")), digests=(A,))
    yield Case("4-tag-and-pin-claimed", _claimed(s, oci(TAG_AND_PIN), claim(f"{TAG_AND_PIN}@{A}")), digests=(A,))
    yield Case("4-pin-claimed-child", _claimed(s, oci(PIN), claim(f"{PIN}@{B}")), digests=(B,))
    yield Case("4-pin-claimed-once", _claimed(s, oci(PIN), claim(PIN)), _MISMATCH)
    yield Case("4-another-tag", _claimed(s, oci(TAG), claim(f"{IMAGE}:v2@{A}")), _MISMATCH)
    yield Case("4-another-image", _claimed(s, oci(TAG), claim(f"{ANOTHER}@{A}")), _MISMATCH)
    yield Case(
        "4-another-spelling", _claimed(s, oci(TAG), claim(f"REGISTRY.example.com/team/config:v1@{A}")), _MISMATCH
    )
    yield Case("4-no-digest", _claimed(s, oci(TAG), claim(TAG)), _MISMATCH)
    yield Case("4-upper-case-digest", _claimed(s, oci(TAG), claim(f"{TAG}@sha256:{'A' * 64}")), _MISMATCH)
    yield Case("4-trailing-newline", _claimed(s, oci(TAG), claim(f"{TAG}@{A}\n")), _MISMATCH)
    yield Case("4-pair-claimed", _claimed(s, oci(TAG), pair(TAG, HEX_A)), digests=(A,))
    yield Case("4-both-generations-agree", _claimed(s, oci(TAG), claim(f"{TAG}@{A}") | pair(TAG, HEX_A)), digests=(A,))
    yield Case("4-both-generations-differ", _claimed(s, oci(TAG), claim(f"{TAG}@{A}") | pair(TAG, HEX_B)), _MISMATCH)
    yield Case("4-url-without-commit", _claimed(s, oci(TAG), {SOURCE_URL: TAG}), "malformed")
    yield Case("4-commit-without-url", _claimed(s, oci(TAG), {SOURCE_COMMIT: HEX_A, SOURCE_URL: ""}), "malformed")
    yield Case("4-old-reconciler-on-git", _claimed(s, git(), claim(f"{TAG}@{A}")), _MISMATCH)
    yield Case("4-old-reconciler-polls-on-git", s.poll(s.sync(git(), claim(f"{TAG}@{A}"))), _MISMATCH)
    yield Case("4-claim-on-helm-http", _claimed(s, helm(WEB), claim(f"{WEB}@sha256:1.2.3")), _MISMATCH)
    yield Case("4-claim-on-helm-oci", _claimed(s, helm(CHARTS), claim(f"{CHARTS}@sha256:1.2.3")), "helm-oci")
    yield Case("4-chart-claimed-on-git", _claimed(s, git(), claim(f"{CHARTS}@sha256:1.2.3")), _MISMATCH)
    yield Case("4-claim-without-a-rule", _claimed(s, oci(TAG), claim(f"{TAG}@{A}")), "no-rule", policy=ELSEWHERE)


_MISMATCH = "source-mismatch"


def _claimed(s: Shape, spec: Document, annotations: Document, *, own: bool = True) -> Document:
    new, old = s.sync(spec, annotations), s.sync(spec)
    return s.own(new, old) if own else s.review(new, old)


def _steps_5_to_7(s: Shape) -> Iterator[Case]:
    held, bare = s.sync(oci(TAG), claim(f"{TAG}@{A}")), s.sync(oci(TAG))
    pinned = s.sync(oci(PIN))
    yield Case("5-reconciler-removes", s.own(bare, held), "no-annotation")
    yield Case("5-reconciler-empties", s.own(s.sync(oci(TAG), claim("")), held), "no-annotation")
    yield Case("5-reconciler-polls-without", s.poll(bare), "no-annotation")
    yield Case("5-reconciler-polls-without-pinned", s.poll(pinned), "no-annotation")
    yield Case("5-reconciler-recreates", s.review(bare, username=RECONCILERS[s.kind]), "no-digest-yet")
    yield Case("6-somebody-removes", s.review(bare, held), "claim-removed")
    yield Case("6-somebody-removes-pinned", s.review(pinned, s.sync(oci(PIN), claim(f"{PIN}@{A}"))), "claim-removed")
    yield Case("6-reconciler-removes-on-git", s.own(s.sync(git()), s.sync(git(), claim("x"))), "claim-removed")
    yield Case("6-somebody-removes-on-helm-oci", _removed_from_chart(s, own=False), "claim-removed")
    yield Case("6-reconciler-removes-on-helm-oci", _removed_from_chart(s, own=True), "helm-oci")
    yield Case("7-dry-run-claim", s.review(held, bare, dryRun=True), digests=(A,))
    yield Case("7-dry-run-created", s.review(bare, dryRun=True), "no-digest-yet")


def _removed_from_chart(s: Shape, *, own: bool) -> Document:
    new, old = s.sync(helm(CHARTS)), s.sync(helm(CHARTS), claim(f"{CHARTS}@sha256:1.2.3"))
    return s.own(new, old) if own else s.review(new, old)


def _malformed(s: Shape) -> Iterator[Case]:
    good = s.sync(oci(TAG))
    specs: tuple[tuple[str, object], ...] = (
        ("missing-spec", None),
        ("spec-is-a-list", [oci(TAG)]),
        ("missing-block", {"sourceType": "oci", "git": git()["git"]}),
        ("block-is-text", {"sourceType": "oci", "oci": TAG}),
        ("unknown-source-type", {**oci(TAG), "sourceType": "OCI"}),
        ("source-type-is-null", {**git(), "sourceType": None}),
        ("missing-image", {"sourceType": "oci", "oci": {"auth": "none"}}),
        ("image-is-a-number", oci() | {"oci": {"image": 7}}),
        ("image-is-no-reference", oci(f"{IMAGE}:v1@sha512:{HEX_A}")),
        ("missing-repo", {"sourceType": "helm", "helm": {"chart": "app"}}),
    )
    for name, spec in specs:
        new = {**copy.deepcopy(good), "spec": spec}
        yield Case(f"m-{name}", s.review(new, good), "malformed")
    odd: tuple[tuple[str, object], ...] = (
        ("annotations-are-a-list", ["x"]),
        ("claim-is-null", {IMAGE_TO_SYNC: None}),
        ("claim-is-a-map", {IMAGE_TO_SYNC: {}}),
    )
    for name, written in odd:
        yield Case(f"m-{name}", s.review(changed(good, annotations=written), good), "malformed")
    yield Case("m-no-metadata", s.review({**good, "metadata": None, "spec": oci(PIN)}, good), "malformed")
    yield Case("m-another-name", s.review(changed(good, name="x"), name="root-sync"), "malformed")
    yield Case("m-another-namespace", s.review(good, namespace="elsewhere"), "malformed")
    yield Case("m-update-without-old", s.review(good, operation="UPDATE"), "malformed")
    yield Case("m-create-without-object", s.review(None, good, operation="CREATE"), "malformed")
    yield Case("m-another-kind", s.review({**good, "kind": good["kind"].lower()}), "malformed")
    yield Case("m-another-version", s.review({**good, "apiVersion": "configsync.gke.io/v1"}), "malformed")
    yield Case(
        "m-two-kinds",
        s.review({**good, "kind": "ConfigMap"}, kind=s.review(good)["request"]["kind"]),
        "malformed",
    )
    yield Case("m-generated-name", s.review(changed(good, generateName="x-"), name=""), "no-digest-yet")


def _charts(s: Shape) -> Iterator[Case]:
    """Helm charts in a registry, where the policy lets their versions be looked up."""
    chart, on_oci = s.sync(helm(CHARTS)), s.sync(oci(TAG))
    claimed = _claimed(s, helm(CHARTS), claim(f"{CHARTS}@sha256:1.2.3"))
    found: Document = {"tags": ("1.2.3",), "policy": RESOLVE}
    yield Case("h-created", s.review(chart), **found)
    yield Case("h-switched", s.review(chart, on_oci), **found)
    yield Case("h-claimed", claimed, **found)
    yield Case("h-claimed-pair", _claimed(s, helm(CHARTS), pair(CHARTS, "1.2.3")), **found)
    yield Case("h-poll", s.poll(s.sync(helm(CHARTS), claim(f"{CHARTS}@sha256:1.2.3"))), **found)
    yield Case("h-switched-stale-claim", s.review(_respec(claimed_tag(s), helm(CHARTS)), claimed_tag(s)), **found)
    yield Case("h-build", s.review(s.sync(helm(CHARTS, "1.2.3-rc.1+b.7"))), tags=("1.2.3-rc.1_b.7",), policy=RESOLVE)
    others = {"another-version": f"{CHARTS}@sha256:1.2.4", "another-repo": f"{CHARTS}/x@sha256:1.2.3", "image": CHART}
    for name, other in others.items():
        yield Case(f"h-claimed-{name}", _claimed(s, helm(CHARTS), claim(other)), _MISMATCH, policy=RESOLVE)
    yield Case("h-poll-without", s.poll(chart), "no-annotation", policy=RESOLVE)
    yield Case("h-reconciler-removes", _removed_from_chart(s, own=True), "no-annotation", policy=RESOLVE)
    yield Case("h-somebody-removes", _removed_from_chart(s, own=False), "claim-removed", policy=RESOLVE)
    yield Case("h-no-rule", s.review(chart), "no-rule", policy={**ELSEWHERE, "helmOci": "resolve"})
    for name, version in {"latest": "latest", "empty": "", "range": "^1.2.0", "minor": "1.2", "v": "v1.2.3"}.items():
        yield Case(f"h-version-{name}", s.review(s.sync(helm(CHARTS, version))), "helm-oci", policy=RESOLVE)


def claimed_tag(s: Shape) -> Document:
    """An OCI source with its claim."""
    return s.sync(oci(TAG), claim(f"{TAG}@{A}"))


GROUPS = (_step_0, _step_1, _step_2, _step_3, _step_4, _steps_5_to_7, _charts, _malformed)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case in every shape, with the name of its directory."""
    for shape in SHAPES:
        for group in GROUPS:
            for case in group(shape):
                yield f"{case.name}-{shape.name}_{DECISIONS[case.decision]}", case


def make_policy(choices: Document) -> Policy:
    """The policy of an expected.json; what its one rule wants does not matter here."""
    match = Match(
        tuple(ImageGlob.parse(glob) for glob in choices["images"]),
        digests=tuple(Digest.parse(text) for text in choices.get("digests", ())),
    )
    sources = Sources(
        SourceChoice(choices["git"]),
        SourceChoice(choices["helmHttp"]),
        choices["requireDigest"],
        HelmOciChoice(choices.get("helmOci", "deny")),
    )
    return Policy(NoMatch(choices["noMatch"]), sources, (Rule("images", match, Fail()),))


def files() -> dict[str, str]:
    """Every file of the vectors, by its path from here."""
    made: dict[str, str] = {}
    for name, case in cases():
        request = case.review
        choices = case.policy or OPEN
        outcome = examine(parse_review(json.dumps(request).encode()), make_policy(choices), NOW)
        expected = {
            "answer": {
                "uid": request["request"]["uid"],
                "decision": case.decision,
                "reason": case.reason,
                "subjects": [f"{IMAGE}@{digest}" for digest in case.digests] + [f"{CHART}:{tag}" for tag in case.tags],
            },
            "message": None if isinstance(outcome, Ask) else outcome.message,
            "policy": choices,
        }
        made[f"{name}/review.json"] = _text(request)
        made[f"{name}/expected.json"] = _text(expected)
    return made


def _text(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def answer(review_bytes: bytes, choices: Document) -> Offline:
    """What the code says of a review, to be held against expected.json."""
    parsed = parse_review(review_bytes)
    return offline(parsed, examine(parsed, make_policy(choices), NOW))


def main() -> None:
    """Replace the vectors beside this file."""
    for directory in HERE.iterdir():
        if directory.is_dir() and directory.name.rpartition("_")[2] in DECISIONS.values():
            shutil.rmtree(directory)
    for name, text in files().items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
