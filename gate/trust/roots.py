"""What a policy names besides itself: the keys and trust roots whose bytes and verifiers it is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from gate.core.authorities import SecondOpinion
from gate.core.trust import TrustedRoot


class Roots(Protocol):
    """Where the reader of a policy gets what the policy names.

    Every file of a policy, the policy itself included, is read through this: whoever gives it knows then which files
    make up the set, and whether one of them changed while the others were read.
    """

    def read(self, path: Path, limit: int, what: str) -> bytes:
        """Return the bytes of ``path``, or raise ConfigError that says ``what`` it is; at most ``limit`` bytes."""

    def file(self, path: Path) -> TrustedRoot:
        """Return the trust root in the file (``trustRoot: {file: …}``), or raise ConfigError."""

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        """Return Sigstore's public good root and its own library's verifier (``trustRoot: sigstore``).

        Never asked for a policy that does not name it: the asking is what loads the library. Raises ConfigError.
        """
