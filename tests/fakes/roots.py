"""Roots for tests of the policy: files read as they are, and a public good root that is whatever the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gate.core import limits
from gate.core.authorities import SecondOpinion
from gate.core.oci import Digest
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.files import read_bounded


def agrees(bundle: bytes) -> None:
    """Accept every bundle, as a second verifier that has no objection."""


@dataclass(slots=True)
class FakeRoots:
    """Reads files as they are; ``asked`` counts who wanted the public good root."""

    public_good: TrustedRoot = field(default_factory=lambda: TrustedRoot(Digest.of(b"public good")))
    second: SecondOpinion = agrees
    asked: int = 0

    def read(self, path: Path, limit: int, what: str) -> bytes:
        return read_bounded(path, limit, what)

    def file(self, path: Path) -> TrustedRoot:
        return parse_trusted_root(self.read(path, limits.TRUST_ROOT_BYTES, "the trust root"))

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        self.asked += 1
        return self.public_good, self.second
