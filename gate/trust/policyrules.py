"""Rules and exceptions of the policy file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gate.core.authorities import Authority, KeyAuthority
from gate.core.errors import MalformedError
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    BreakGlass,
    Context,
    Fail,
    ImageException,
    Match,
    MatchReference,
    Mode,
    ObjectException,
    OnUnavailable,
    Pass,
    Requirement,
    Rule,
    Signatures,
    Term,
)
from gate.core.quote import quote
from gate.core.rfc3339 import parse_instant
from gate.fields import Fields
from gate.trust.policyauthorities import Material, parse_authority

OBJECT_KINDS = ("RootSync", "RepoSync")

_KINDS = {kind: kind for kind in OBJECT_KINDS}
_MODES = {mode.value: mode for mode in Mode}
_OUTAGES = {choice.value: choice for choice in OnUnavailable}
_REFERENCES = {choice.value: choice for choice in MatchReference}
STATIC: dict[str, Requirement] = {"fail": Fail(), "pass": Pass()}

# What names of Kubernetes are made of (RFC 1123 subdomain): any other pattern would silently match nothing.
OBJECT_NAME = "[a-z0-9.-]+"
OBJECT_GLOB = "[a-z0-9.*-]+"


def parse_rules(fields: Fields, material: Material) -> tuple[Rule, ...]:
    """Return the rules of the policy, each with a name of its own."""
    names: set[str] = set()
    return tuple(_rule(section, names, material) for section in fields.sections("rules", required=True))


def _new_name(fields: Fields, known: set[str]) -> str:
    name = fields.text("name")
    if name and name in known:
        fields.wrong("name", f"found {quote(name)} a second time, expected a name that no other one has")
    known.add(name)
    return name


def _rule(fields: Fields, names: set[str], material: Material) -> Rule:
    name = _new_name(fields, names)
    mode = fields.choice("mode", _MODES, Mode.ENFORCE)
    match = _match(fields.section("match", required=True))
    kind = fields.one_of("authorities", "static")
    if kind == "static":
        for meaningless in ("require", "matchReference", "onUnavailable"):
            if fields.take(meaningless) is not None:
                fields.wrong(meaningless, "is given beside static, expected it beside authorities only")
    on_unavailable = fields.choice("onUnavailable", _OUTAGES, OnUnavailable.DENY)
    match_reference = fields.choice("matchReference", _REFERENCES, MatchReference.IGNORE)
    requirement = fields.choice("static", STATIC) if kind == "static" else _signatures(fields, material)
    message = fields.text("message", "")
    fields.finish()
    return Rule(name, match, requirement, mode, on_unavailable, message, match_reference)


def _match(fields: Fields) -> Match:
    match = Match(
        images=fields.parsed_list("images", ImageGlob.parse, required=True),
        kinds=fields.parsed_list("kinds", _object_kind),
        namespaces=fields.parsed_list("namespaces", _object_glob),
        names=fields.parsed_list("names", _object_glob),
        digests=fields.parsed_list("digests", Digest.parse),
    )
    fields.finish()
    return match


def _object_kind(text: str) -> str:
    if text not in OBJECT_KINDS:
        raise MalformedError(f"found {quote(text)}, expected {' or '.join(OBJECT_KINDS)}")
    return text


def _object_glob(text: str) -> str:
    if re.fullmatch(OBJECT_GLOB, text, re.ASCII) is None:
        raise MalformedError(
            f"found {quote(text)}, expected a name of an object (a-z, 0-9, - and .), * for any part of it"
        )
    return text


def _object_name(text: str) -> str:
    if re.fullmatch(OBJECT_NAME, text, re.ASCII) is None:
        raise MalformedError(f"found {quote(text)}, expected a name of an object (a-z, 0-9, - and .)")
    return text


def _signatures(fields: Fields, material: Material) -> Requirement:
    """Return what the rule wants signed; a stand-in where a problem is recorded."""
    sections = tuple(fields.sections("authorities"))
    if not sections:
        fields.take("require")
        return Fail()
    names: set[str] = set()
    authorities = tuple(_authorities(sections, names, material))
    count, needed = _require(fields.section("require"), names, len(sections))
    return Fail() if fields.problems.found else Signatures(authorities, count, needed)


def _authorities(sections: Sequence[Fields], names: set[str], material: Material) -> Iterator[Authority]:
    keys: dict[str, str] = {}
    for section in sections:
        authority = parse_authority(section, _new_name(section, names), material)
        if isinstance(authority, KeyAuthority):
            known = keys.setdefault(authority.identity, authority.name)
            if known != authority.name:
                section.wrong("key", f"found the key of {quote(known)} a second time, expected another key")
        if authority is not None:
            yield authority


def _require(fields: Fields, names: set[str], authorities: int) -> tuple[int, tuple[str, ...]]:
    """Return how many signers the rule wants, and the authorities that must be among them."""
    if fields.one_of("count", "all", required=False) == "all":
        needed = fields.parsed_list("all", lambda name: _known_name(name, names), required=True)
        count = len(needed)
    else:
        needed, count = (), fields.integer("count", 1, most=authorities)
    fields.finish()
    return count, needed


def _known_name(name: str, names: set[str]) -> str:
    if name not in names:
        raise MalformedError(f"found {quote(name)}, expected the name of an authority of this rule")
    return name


def parse_exceptions(fields: Fields) -> tuple[BreakGlass, ...]:
    """Return the exceptions of the policy; those that have no effect are among them."""
    found = (_exception(section) for section in fields.sections("exceptions", empty=True))
    return tuple(exception for exception in found if exception is not None)


def _exception(fields: Fields) -> BreakGlass | None:
    kind = fields.one_of("image", "repository")
    term = parse_term(fields)
    match kind:
        case "image":
            exception = _image_exception(fields, term)
        case "repository":
            exception = _object_exception(fields, term)
        case _:
            exception = None
            for name in ("kind", "namespace", "name"):
                fields.take(name)
    fields.finish()
    return exception


def _image_exception(fields: Fields, term: Term | None) -> BreakGlass | None:
    image = fields.parsed("image", _image)
    return None if image is None or term is None else ImageException(image, term)


def _object_exception(fields: Fields, term: Term | None) -> BreakGlass | None:
    repository = fields.parsed("repository", Reference.parse_repository)
    kind = fields.choice("kind", _KINDS)
    context = Context(kind, fields.parsed("namespace", _object_name), fields.parsed("name", _object_name))
    return None if repository is None or term is None else ObjectException(repository, context, term)


def _image(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest is None or reference.tag is not None:
        raise MalformedError(f"found {quote(text)}, expected REPOSITORY@sha256:DIGEST without a tag")
    return reference


def parse_term(fields: Fields) -> Term | None:
    """Return until when something holds and why, or None with the problem recorded.

    A reason may be missing: the term then has no effect, which is for whoever knows the time to tell.
    """
    reason = fields.remark("reason")
    until = fields.parsed("until", parse_instant, expected="a time of the form 2026-12-01T00:00:00Z")
    return None if until is None else Term(until, reason)
