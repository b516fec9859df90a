"""The ways around a gate that are known of Config Sync, by number: each is closed here, or it is said where.

The number is that of the list of threats that gate was designed against. What a review alone decides is a row of the
table; what the evidence decides, the API server or RBAC, is named with the file that shows it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from gate.core.reasons import Reason
from gate.fronts.admission import ReviewError, parse_review
from gate.fronts.configsync import Ask, Refuse, examine
from tests.fakes.reviews import (
    IMAGE,
    RECONCILERS,
    SOURCE_COMMIT,
    SOURCE_URL,
    A,
    B,
    Document,
    claim,
    encode,
    git,
    helm,
    oci,
    poll,
    review,
    sync,
)
from tests.fakes.signing import NOW
from tests.vectors.reviews import make

ROOT = Path(__file__).resolve().parents[3]
TAG, PIN, EVIL = f"{IMAGE}:v1", f"{IMAGE}@{A}", f"{IMAGE}:evil"
CHARTS, WEB = "oci://registry.example.com/charts", "https://charts.example.com"
MISMATCH = Reason.SOURCE_MISMATCH
FORMS = [(kind, version) for kind in ("RootSync", "RepoSync") for version in ("v1beta1", "v1alpha1")]

Answer = Reason | tuple[str, ...]  # why it is refused or needs nothing, or the digests that are verified first


class Form:
    """One kind in one version: each row is asked in all of them."""

    def __init__(self, kind: str, version: str) -> None:
        self.kind, self.version = kind, version
        self.own = RECONCILERS[kind]

    def sync(self, spec: Document, annotations: Document | None = None, **metadata: object) -> Document:
        return sync(spec, annotations, kind=self.kind, version=self.version, **metadata)

    def rows(self) -> dict[str, tuple[Document, Document, Answer]]:
        """Return each attack with the policy that it meets and what has to become of it."""
        return self._claims() | self._sources() | self._forms()

    def _claims(self) -> dict[str, tuple[Document, Document, Answer]]:
        bare, claimed = self.sync(oci(TAG)), self.sync(oci(TAG), claim(f"{TAG}@{A}"))
        evil, other = claim(f"{TAG}@{B}"), claim(f"{EVIL}@{A}")
        pair = {SOURCE_URL: TAG, SOURCE_COMMIT: B.removeprefix("sha256:")}
        return {
            "1: a new object brings the annotation along": (review(self.sync(oci(TAG), evil)), make.OPEN, (B,)),
            "1: and the poll after that changes nothing": (poll(self.sync(oci(TAG), evil)), make.OPEN, (B,)),
            "1: a new object brings the older annotations": (review(self.sync(oci(TAG), pair)), make.OPEN, (B,)),
            "2: an object is older than the webhook": (poll(claimed), make.OPEN, (A,)),
            "2: a backup brings a stale annotation back": (review(self.sync(oci(TAG), other)), make.OPEN, MISMATCH),
            "4: a signed image is written over an unsigned one": (review(claimed, bare), make.OPEN, (A,)),
            "4: of another image": (review(self.sync(oci(TAG), other), bare), make.OPEN, MISMATCH),
            "5: an unsigned image is written by hand": (review(self.sync(oci(TAG), evil), bare), make.OPEN, (B,)),
            "6: the image changes and the claim does not": (
                review(self.sync(oci(EVIL), claim(f"{TAG}@{A}")), claimed),
                make.OPEN,
                Reason.NO_DIGEST_YET,
            ),
            "6: and the poll after that repeats the old claim": (
                poll(self.sync(oci(EVIL), claim(f"{TAG}@{A}"))),
                make.OPEN,
                MISMATCH,
            ),
            "6: to an image that no rule is about": (
                review(self.sync(oci("registry.example.com/other:v1")), bare),
                make.OPEN | {"images": ["registry.example.com/team/**"]},
                Reason.NO_RULE,
            ),
            "7: a reconciler is made to fetch another image": (
                review(self.sync(oci(TAG), other), bare, username=self.own),
                make.OPEN,
                MISMATCH,
            ),
            "10: an image that was withdrawn is put back": (
                review(self.sync(oci(PIN)), bare),
                make.OPEN | {"digests": [B]},
                Reason.NO_RULE,
            ),
            "11: a key was revoked after the sync": (poll(claimed), make.OPEN, (A,)),
            "12: the status is written, and metadata with it": (
                review(self.sync(oci(TAG), evil), bare, subResource="status"),
                make.OPEN,
                Reason.STATUS,
            ),
        }

    def _sources(self) -> dict[str, tuple[Document, Document, Answer]]:
        tag, pinned = self.sync(oci(TAG)), self.sync(oci(PIN))
        claimed = self.sync(helm(CHARTS), claim(f"{CHARTS}@sha256:1.2.3"))
        latest = self.sync(helm(CHARTS, "latest"), claim(f"{CHARTS}@sha256:latest"))
        denied = Reason.SOURCE_DENIED
        return {
            "8: the source is switched to git": (review(self.sync(git()), tag), make.EXISTING, denied),
            "8: the source is switched to a web chart": (review(self.sync(helm(WEB)), tag), make.EXISTING, denied),
            "8: an object on git is older than the policy": (poll(self.sync(git())), make.CLOSED, denied),
            "8: git is said while an old reconciler syncs": (
                review(self.sync(git(), claim(f"{TAG}@{B}")), self.sync(git()), username=self.own),
                make.OPEN,
                MISMATCH,
            ),
            "9: a chart is named by a version": (review(self.sync(helm(CHARTS))), make.OPEN, Reason.HELM_OCI),
            "9: its version is polled": (poll(claimed), make.OPEN, Reason.HELM_OCI),
            "9: its version moves": (poll(latest), make.RESOLVE, Reason.HELM_OCI),
            "13: a synced source declares another object": (
                review(pinned, username=RECONCILERS["RootSync"]),
                make.OPEN,
                (A,),
            ),
            "20: a tag is fetched before anybody is asked": (review(tag), make.CLOSED, Reason.DIGEST_REQUIRED),
            "20: a tag is polled": (
                poll(self.sync(oci(TAG), claim(f"{TAG}@{A}"))),
                make.CLOSED,
                Reason.DIGEST_REQUIRED,
            ),
            "20: an unsigned digest is pinned": (review(self.sync(oci(f"{IMAGE}@{B}")), pinned), make.CLOSED, (B,)),
        }

    def _forms(self) -> dict[str, tuple[Document, Document, Answer]]:
        held = self.sync(oci(TAG), claim(f"{TAG}@{A}"))
        leaving = self.sync(oci(TAG), claim(f"{TAG}@{B}"), deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
        gone = copy.deepcopy(leaving)
        gone["metadata"]["finalizers"] = []
        labels = {"gate": "ignore", "admission.example.com/ignore": "true"}
        evil = claim(f"{TAG}@{B}")
        return {
            "14: the older version of the API is used": (poll(held), make.OPEN, (A,)),
            "15: labels ask for an exemption": (review(self.sync(oci(TAG), evil, labels=labels)), make.OPEN, (B,)),
            "17: a dry run": (review(self.sync(oci(TAG), evil), dryRun=True), make.OPEN, (B,)),
            "18: an object is deleted": (review(None, held), make.OPEN, Reason.DELETE),
            "18: its finalizer is removed": (review(gone, leaving, username=self.own), make.OPEN, Reason.UNCHANGED),
            "18: but while it is deleted, it polls": (poll(leaving), make.OPEN, (B,)),
            "24: an object that cannot be read": (
                review({**held, "spec": "oci"}, held, username=self.own),
                make.OPEN,
                Reason.MALFORMED,
            ),
        }


ROWS = sorted(Form(*FORMS[0]).rows(), key=lambda name: (int(name.partition(":")[0]), name))

# What no review alone decides, and the file that closes it or shows that it is closed.
ELSEWHERE = {
    3: "tests/unit/core/formats/test_simplesigning.py",  # a copied signature: the payload names its digest
    11: "tests/integration/registry/test_evidence.py",  # evidence is kept, verdicts are not
    21: "manifests/components/no-shell/policy.yaml",
    22: "manifests/components/self-protection/policy.yaml",
    23: "docs/companion.md",  # changed workloads and reconcilers: what RBAC has to do
}
# Ways that lead nowhere: Config Sync's own webhook has no say in gate's, and it syncs the very digest that it claims.
NO_WAY = {16, 19}


@pytest.mark.parametrize("form", FORMS, ids="-".join)
@pytest.mark.parametrize("attack", ROWS)
def test_a_way_around_gate_ends_where_it_should(attack: str, form: tuple[str, str]) -> None:
    document, policy, wanted = Form(*form).rows()[attack]
    outcome = examine(parse_review(encode(document)), make.make_policy(policy), NOW)
    if isinstance(wanted, tuple):
        assert isinstance(outcome, Ask)
        assert tuple(str(subject.reference.digest) for subject in outcome.subjects) == wanted
    else:
        assert not isinstance(outcome, Ask)
        assert outcome.reason is wanted
        harmless = {Reason.STATUS, Reason.DELETE, Reason.UNCHANGED, Reason.NO_DIGEST_YET}
        assert isinstance(outcome, Refuse) is (wanted not in harmless)


def test_every_threat_has_a_row_or_a_place() -> None:
    assert {int(name.partition(":")[0]) for name in ROWS} | set(ELSEWHERE) | NO_WAY == set(range(1, 25))
    for place in ELSEWHERE.values():
        assert (ROOT / place).is_file()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"kind": "AdmissionReview"}'])
def test_a_review_that_cannot_be_read_is_never_answered_with_an_admission(body: bytes) -> None:
    with pytest.raises(ReviewError):
        parse_review(body)
