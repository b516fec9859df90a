"""One reading of a policy and of everything it names, which can tell whether it saw a single moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gate.core import limits
from gate.core.authorities import SecondOpinion
from gate.core.errors import ConfigError, MalformedError
from gate.core.quote import quote
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.files import Mark, mark, read_marked


@dataclass(slots=True)
class Reading:
    """The Roots of one policy, which remembers the files that it read and what each was at that time."""

    public_good: Callable[[], tuple[TrustedRoot, SecondOpinion]]
    seen: dict[Path, Mark] = field(default_factory=dict)

    def read(self, path: Path, limit: int, what: str) -> bytes:
        """Return the bytes of ``path``, or raise ConfigError, as Roots."""
        self.seen.setdefault(path, None)  # a file that is not there is part of the set: it may appear
        data, found = read_marked(path, limit, what)
        self.seen[path] = found
        return data

    def file(self, path: Path) -> TrustedRoot:
        """Return the trust root in the file, or raise ConfigError, as Roots."""
        raw = self.read(path, limits.TRUSTED_ROOT_BYTES, "the trust root")
        try:
            return parse_trusted_root(raw)
        except MalformedError as error:
            raise ConfigError(f"the trust root {quote(str(path))} cannot be used: {error.message}") from error

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        """Return the public good root and its second verifier, as Roots."""
        return self.public_good()

    def current(self) -> bool:
        """Return whether every file is still the one that was read."""
        return all(mark(path) == found for path, found in self.seen.items())
