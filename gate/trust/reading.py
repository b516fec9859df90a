"""One reading of a policy and of everything it names, which can tell whether it saw a single moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gate.core import limits
from gate.core.authorities import SecondOpinion
from gate.core.errors import ConfigError, MalformedError
from gate.core.policy import Policy
from gate.core.quote import quote
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.files import Mark, mark, read_marked
from gate.trust.publicgood import Trusted
from gate.trust.roots import Roots

READS = 5  # of one set, when its files change while they are read: a mount is swapped in an instant, and not often


@dataclass(slots=True)
class Reading:
    """The Roots of one policy, which remembers what it read and what each file was at that time.

    ``public_good`` returns Sigstore's root in force; it is asked only for a policy that names it.
    """

    public_good: Callable[[], Trusted]
    files: dict[Path, Mark] = field(default_factory=dict)
    trusted: Trusted | None = None

    def read(self, path: Path, limit: int, what: str) -> bytes:
        """Return the bytes of ``path``, or raise ConfigError, as Roots."""
        self.files[path] = mark(path)  # also of a file that cannot be read: it is part of the set
        data, self.files[path] = read_marked(path, limit, what)
        return data

    def file(self, path: Path) -> TrustedRoot:
        """Return the trust root in the file, or raise ConfigError, as Roots."""
        raw = self.read(path, limits.TRUST_ROOT_BYTES, "the trust root")
        try:
            return parse_trusted_root(raw)
        except MalformedError as error:
            raise ConfigError(f"the trust root {quote(str(path))} cannot be used: {error.message}") from error

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        """Return the public good root and its second verifier, as Roots: the same at every call."""
        if self.trusted is None:
            self.trusted = self.public_good()
        return self.trusted.root, self.trusted.second

    def current(self) -> bool:
        """Return whether everything is still what was read."""
        same = self.trusted is None or self.trusted is self.public_good()
        return same and all(mark(path) == found for path, found in self.files.items())


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one moment's files give: the policy, or the error that they are; and the reading of them."""

    outcome: Policy | ConfigError
    reading: Reading

    def policy(self) -> Policy:
        """Return the policy, or raise the error."""
        if isinstance(self.outcome, ConfigError):
            raise self.outcome
        return self.outcome


def read_set(load: Callable[[Roots], Policy], public_good: Callable[[], Trusted]) -> Attempt:
    """Return the policy that ``load`` makes of the files as they are at one moment, or the ConfigError that it raises.

    Files that change while they are read are read again: half of one set and half of another is neither.
    """
    for _ in range(READS):
        reading = Reading(public_good)
        outcome: Policy | ConfigError
        try:
            outcome = load(reading)
        except ConfigError as error:
            outcome = error
        if reading.current():
            return Attempt(outcome, reading)
    return Attempt(ConfigError("the policy and what it names change faster than they can be read"), reading)
