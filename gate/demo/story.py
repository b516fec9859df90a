"""The three things that the demo shows, each a question to a real webhook and the verdict that is expected."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gate.core.oci import Digest, Reference
from gate.demo import content
from gate.demo.review import reconciler_review
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.demo.webhook import Answer

REPOSITORY, TAG = "config", "v1"
SIGNED_REVIEW, TAMPERED_REVIEW = "review-signed.json", "review-tampered.json"
# gate looks for a new signature at most every 5 s, as often as it pays while Config Sync asks every 15 s.
ADMISSION_SECONDS = 6.0
ASK_AGAIN_SECONDS = 0.25


class Asked(Protocol):
    """Whoever answers reviews."""

    def ask(self, review: bytes) -> Answer:
        """Return the answer to an AdmissionReview."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One question: what happened before it, what was expected, and the answer."""

    title: str
    before: tuple[str, ...]
    image: str
    digest: Digest
    allow: bool
    because: str  # what a denial says
    answer: Answer

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the demo is about."""
        return self.answer.allowed is self.allow and (self.allow or self.because in self.answer.message)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays: a registry, a signer, a webhook, and a directory for its files."""

    store: Store
    registry: str
    signer: Signer
    webhook: Asked
    directory: Path
    push: Callable[[Reference, Mapping[str, str], Path], Digest] = content.push
    sleep: Callable[[float], None] = time.sleep

    @property
    def image(self) -> Reference:
        """The image that the RootSync names."""
        return Reference(self.registry, REPOSITORY, TAG)

    def scenes(self) -> Iterator[Scene]:
        """Play the scenes, one after the other."""
        good = self.push(self.image, content.GOOD, self.directory)
        yield self._unsigned(good)
        yield self._signed(good)
        yield self._tampered(good)

    def _unsigned(self, digest: Digest) -> Scene:
        before = (
            f"{len(content.GOOD)} Kubernetes manifests were pushed as {self.image} with oras. Nobody signed them.",
        )
        answer = self.webhook.ask(self._review(digest))
        return self._scene("an unsigned bundle", before, digest, answer, because="no signatures found")

    def _signed(self, digest: Digest) -> Scene:
        self.signer.sign_tag(self.store, REPOSITORY, digest, reference=f"{self.registry}/{REPOSITORY}")
        before = (
            "The platform team signs that very digest, as `cosign sign --key cosign.key` does,",
            f"into the tag {digest.tag[:14]}….sig. Config Sync asks again at its next poll.",
        )
        review = self._review(digest)
        (self.directory / SIGNED_REVIEW).write_bytes(review)
        return self._scene("the same bundle, signed", before, digest, self._patiently(review), allow=True)

    def _tampered(self, signed: Digest) -> Scene:
        digest = self.push(self.image, content.TAMPERED, self.directory)
        copied = self.store.resolve(REPOSITORY, f"{signed.tag}.sig")
        if copied is not None:
            self.store.tag(REPOSITORY, f"{digest.tag}.sig", copied)
        before = (
            f"Somebody who can push adds a ClusterRoleBinding (cluster-admin for everybody) to {TAG}",
            f"and copies the good signature to {digest.tag[:14]}….sig.",
        )
        review = self._review(digest, synced=signed)
        (self.directory / TAMPERED_REVIEW).write_bytes(review)
        answer = self.webhook.ask(review)
        return self._scene("another bundle with a copied signature", before, digest, answer, because="wrong-digest")

    def _patiently(self, review: bytes) -> Answer:
        """Ask until it is admitted, as Config Sync would, for as long as gate may still remember the first answer."""
        answer = self.webhook.ask(review)
        for _ in range(round(ADMISSION_SECONDS / ASK_AGAIN_SECONDS)):
            if answer.allowed:
                break
            self.sleep(ASK_AGAIN_SECONDS)
            answer = self.webhook.ask(review)
        return answer

    def _review(self, digest: Digest, *, synced: Digest | None = None) -> bytes:
        return reconciler_review(str(self.image), digest, str(uuid.uuid4()), synced=synced)

    def _scene(
        self,
        title: str,
        before: tuple[str, ...],
        digest: Digest,
        answer: Answer,
        *,
        because: str = "",
        allow: bool = False,
    ) -> Scene:
        return Scene(title, before, str(self.image), digest, allow, because, answer)
