"""Identities of the policy: whom a certificate must name. Exact, or whole-string RE2, never a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias

from gate.core.certificates import Identity
from gate.core.errors import MalformedError
from gate.core.quote import quote

PATTERN_CHARACTERS = 2048  # of one regular expression; as long as the longest subject that is read
PATTERN_MEMORY = 1 << 20  # bytes of one compiled expression; RE2 refuses what needs more


class _Compiled(Protocol):
    def fullmatch(self, text: str) -> object | None:
        """Return a match of the whole text, or None."""


@dataclass(frozen=True, slots=True)
class Exact:
    """Nothing but this text."""

    text: str

    def matches(self, text: str) -> bool:
        """Return whether ``text`` is the same, letter by letter."""
        return text == self.text


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that the whole text must match, in linear time whatever the text."""

    source: str
    _compiled: _Compiled = field(repr=False, compare=False)

    @classmethod
    def parse(cls, source: str) -> Self:
        """Return the expression (RE2 syntax), or raise MalformedError that says what is wrong with it."""
        import re2  # noqa: PLC0415 (a policy without expressions does not pay for it)

        if len(source) > PATTERN_CHARACTERS:
            raise MalformedError(f"a regular expression has more than {PATTERN_CHARACTERS} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = PATTERN_MEMORY
        try:
            return cls(source, re2.compile(source, options))
        except re2.error as error:
            why = error.args[0].decode(errors="replace")  # RE2's own words, as bytes
            raise MalformedError(f"{quote(source)} is not a regular expression (RE2): {quote(why)}") from error

    def matches(self, text: str) -> bool:
        """Return whether all of ``text`` matches."""
        return self._compiled.fullmatch(text) is not None


TextRule: TypeAlias = Exact | Pattern


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Whom to accept: both must match. Without ``issuer`` only a certificate that names no issuer matches."""

    subject: TextRule
    issuer: TextRule | None = None

    def accepts(self, identity: Identity) -> bool:
        """Return whether the rule is about this identity."""
        if self.issuer is None or identity.issuer is None:
            issuer_matches = self.issuer is None and identity.issuer is None
        else:
            issuer_matches = self.issuer.matches(identity.issuer)
        return issuer_matches and self.subject.matches(identity.subject)
