"""Files that a policy names where a cluster mounts them, read from where they lie on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gate.core.authorities import SecondOpinion
from gate.core.trust import TrustedRoot
from gate.trust.roots import Roots


@dataclass(frozen=True, slots=True)
class Mount:
    """``path`` as the policy has it, absolute, and the directory that is mounted there."""

    path: Path
    directory: Path


@dataclass(frozen=True, slots=True)
class Mounted:
    """Roots that look below the mounts first; elsewhere, and for all that is no file, they are ``roots``."""

    roots: Roots
    mounts: tuple[Mount, ...]

    def read(self, path: Path, limit: int, what: str) -> bytes:
        """Return the bytes of ``path``, or raise ConfigError, as Roots."""
        return self.roots.read(self._found(path), limit, what)

    def file(self, path: Path) -> TrustedRoot:
        """Return the trust root in the file, or raise ConfigError, as Roots."""
        return self.roots.file(self._found(path))

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        """Return Sigstore's public good root and its verifier, as Roots."""
        return self.roots.sigstore()

    def _found(self, path: Path) -> Path:
        for mount in self.mounts:
            if path.is_relative_to(mount.path):
                return mount.directory / path.relative_to(mount.path)
        return path
