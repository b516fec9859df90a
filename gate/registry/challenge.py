"""The challenge of a 401 answer (RFC 7235 section 4.1), read strictly and within limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gate.core.errors import MalformedError

CHALLENGE_CHARACTERS = 8192  # of all WWW-Authenticate values together; real ones have a few hundred
CHALLENGES = 8  # challenges of one answer
PARAMETERS = 16  # parameters of one challenge; Bearer uses realm, service, scope, error

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (RFC 7230 section 3.2.6 calls this a token)
_SCHEME = re.compile(rf"({_TOKEN})(?= |,|$|\t)", re.ASCII)
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)")', re.ASCII)
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))", re.ASCII)
_SPACES = re.compile(r"[ \t]+", re.ASCII)
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)*", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme, in lower case, that the server offers, and its parameters (names in lower case, each once)."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """Return the value of the parameter, or None when it is absent."""
        return next((value for key, value in self.parameters if key == name), None)


def parse_challenges(values: Sequence[str]) -> tuple[Challenge, ...]:
    """Return the challenges in the WWW-Authenticate ``values`` of one answer in order, or raise MalformedError."""
    if sum(len(value) for value in values) > CHALLENGE_CHARACTERS:
        raise MalformedError(f"the challenge is longer than {CHALLENGE_CHARACTERS} characters")
    challenges = tuple(challenge for value in values for challenge in _parse(value))
    if len(challenges) > CHALLENGES:
        raise MalformedError(f"the answer holds more than {CHALLENGES} challenges")
    return challenges


def _parse(text: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    at = _skip(text, 0)
    while at < len(text):
        scheme = _SCHEME.match(text, at)
        if scheme is None:
            raise MalformedError("the challenge does not begin with a scheme")
        parameters, at = _parameters(text, scheme.end())
        challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges


def _parameters(text: str, at: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return the parameters that begin at ``at``, and where the next challenge begins."""
    spaces = _SPACES.match(text, at)
    if spaces is None or _ends(text, spaces.end()):
        return (), _skip(text, at)
    at = spaces.end()
    opaque = _TOKEN68.match(text, at)
    if opaque is not None:
        return (), _skip(text, opaque.end())  # Negotiate and its like: nothing here uses what they carry
    found: dict[str, str] = {}
    while (match := _PARAMETER.match(text, at)) is not None:
        name = match[1].lower()
        if name in found:
            raise MalformedError("the challenge names a parameter twice")
        found[name] = match[2] if match[2] is not None else _ESCAPE.sub(r"\1", match[3])
        if len(found) > PARAMETERS:
            raise MalformedError(f"the challenge has more than {PARAMETERS} parameters")
        after, at = match.end(), _skip(text, match.end())
        if "," not in text[after:at] and at < len(text):
            raise MalformedError("the challenge's parameters are not separated by commas")
    if not found:
        raise MalformedError("the challenge's parameters cannot be read")
    return tuple(found.items()), at


def _ends(text: str, at: int) -> bool:
    return at == len(text) or text[at] == ","


def _skip(text: str, at: int) -> int:
    match = _SEPARATOR.match(text, at)
    return at if match is None else match.end()
