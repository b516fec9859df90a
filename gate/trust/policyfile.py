"""The policy file, and the keys it names, as one validated set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from gate.core import limits
from gate.core.authorities import Authority, KeyAuthority
from gate.core.errors import ConfigError, MalformedError
from gate.core.globs import ImageGlob
from gate.core.keys import PublicKey, parse_public_key
from gate.core.oci import Digest
from gate.core.policy import (
    Fail,
    Match,
    Mode,
    NoMatch,
    OnUnavailable,
    Pass,
    Policy,
    Requirement,
    Rule,
    Signatures,
    SourceChoice,
    Sources,
    single_key_policy,
)
from gate.core.quote import quote
from gate.strictyaml import Fields, Problems, Scalar, parse
from gate.trust.roots import Roots

API_VERSION = "gate/v1"
KIND = "Policy"
OBJECT_KINDS = ("RootSync", "RepoSync")

_MODES = {mode.value: mode for mode in Mode}
_NO_MATCHES = {choice.value: choice for choice in NoMatch}
_CHOICES = {choice.value: choice for choice in SourceChoice}
_OUTAGES = {choice.value: choice for choice in OnUnavailable}
_STATIC: dict[str, Requirement] = {"fail": Fail(), "pass": Pass()}

T = TypeVar("T")


def load_key(path: Path, roots: Roots) -> PublicKey:
    """Return the public key in the PEM file ``path``, or raise ConfigError."""
    try:
        return parse_public_key(roots.read(path, limits.KEY_BYTES, "the public key"))
    except MalformedError as error:
        raise ConfigError(f"the public key {quote(str(path))} cannot be used: {error.message}") from error


def load_key_policy(path: Path, roots: Roots) -> Policy:
    """Return the policy "every image, this key", or raise ConfigError."""
    return single_key_policy(KeyAuthority(path.name, load_key(path, roots)))


def load_policy(path: Path, roots: Roots) -> Policy:
    """Return the policy in the file, with what it names, or raise ConfigError with every mistake, a line each.

    ``roots`` reads every file, the policy's own included.
    """
    document = roots.read(path, limits.POLICY_BYTES, "the policy")
    problems = Problems(path.name)
    node = parse(document, limit=limits.POLICY_BYTES, name=path.name)
    fields = Fields.of(node, "", node.line, problems)
    fields.choice("apiVersion", {API_VERSION: API_VERSION})
    fields.choice("kind", {KIND: KIND})
    no_match = fields.choice("noMatch", _NO_MATCHES)
    sources = _sources(fields.section("sources", required=True))
    fields.unbuilt("rollout", "exceptions")
    rules = tuple(_rules(fields, path.parent, roots))
    fields.finish()
    problems.raise_any()
    return Policy(no_match, sources, rules)


def _sources(fields: Fields) -> Sources:
    git = fields.choice("git", _CHOICES)
    helm_http = fields.choice("helmHttp", _CHOICES)
    if not fields.has("helmOci"):
        fields.wrong("helmOci", "is missing")
    _only(fields, "helmOci", built="deny", unbuilt="resolve")
    require_digest = fields.truth("requireDigest", default=False)
    fields.finish()
    return Sources(git, helm_http, require_digest)


def _only(fields: Fields, name: str, *, built: str, unbuilt: str) -> None:
    """Take a field of which one value is built; the other one is known, and an error."""
    node = fields.take(name)
    if isinstance(node, Scalar) and node.text == unbuilt:
        fields.wrong(name, f"{unbuilt} is not built yet; write {built}", node)
    elif node is not None and not (isinstance(node, Scalar) and node.text == built):
        fields.wrong(name, f"expected {built} or {unbuilt}", node)


def _rules(fields: Fields, directory: Path, roots: Roots) -> Iterator[Rule]:
    names: set[str] = set()
    for section in fields.sections("rules", required=True):
        rule = _rule(section, directory, roots)
        if rule.name in names:
            section.wrong("name", f"found {quote(rule.name)} a second time; every rule has a name of its own")
        names.add(rule.name)
        yield rule


def _rule(fields: Fields, directory: Path, roots: Roots) -> Rule:
    name = fields.text("name")
    mode = fields.choice("mode", _MODES, Mode.ENFORCE)
    match = _match(fields.section("match", required=True))
    _only(fields, "matchReference", built="ignore", unbuilt="repository")
    on_unavailable = fields.choice("onUnavailable", _OUTAGES, OnUnavailable.DENY)
    requirement = _requirement(fields, directory, roots)
    message = fields.text("message", "")
    fields.finish()
    return Rule(name, match, requirement, mode, on_unavailable, message)


def _match(fields: Fields) -> Match:
    match = Match(
        images=tuple(_parsed(fields, "images", ImageGlob.parse, required=True)),
        kinds=tuple(kind for kind, _ in fields.texts("kinds")),
        namespaces=tuple(text for text, _ in fields.texts("namespaces")),
        names=tuple(text for text, _ in fields.texts("names")),
        digests=tuple(_parsed(fields, "digests", Digest.parse)),
    )
    for kind in match.kinds:
        if kind not in OBJECT_KINDS:
            fields.wrong("kinds", f"found {quote(kind)}, expected {' or '.join(OBJECT_KINDS)}")
    fields.finish()
    return match


def _parsed(fields: Fields, name: str, parse_one: Callable[[str], T], *, required: bool = False) -> Iterator[T]:
    for text, node in fields.texts(name, required=required):
        try:
            yield parse_one(text)
        except MalformedError as error:
            fields.wrong(name, error.message, node)


def _requirement(fields: Fields, directory: Path, roots: Roots) -> Requirement:
    """Return what the rule wants: authorities, or a fixed answer in their place."""
    if fields.has("static") and fields.has("authorities"):
        fields.wrong("static", "stands in place of authorities; remove one of the two")
    if fields.has("static"):
        fields.take("authorities")
        fields.take("require")
        return fields.choice("static", _STATIC)
    require = fields.section("require")
    require.unbuilt("all")
    count = require.integer("count", 1)
    require.finish()
    line = fields.line
    authorities = tuple(_authorities(fields, directory, roots))
    if not fields.problems.found:
        try:
            return Signatures(authorities, count)
        except ConfigError as error:
            fields.problems.add(line, fields.at("authorities"), error.message)
    return Fail()  # never used: a problem is recorded, so the policy is not built


def _authorities(fields: Fields, directory: Path, roots: Roots) -> Iterator[Authority]:
    for section in fields.sections("authorities", required=True):
        name = section.text("name")
        _only(section, "transparencyLog", built="ignore", unbuilt="required")
        section.unbuilt("keyless", "trustRoot", "signedTimestamp")
        key = _key(section.section("key", required=True), directory, roots)
        section.finish()
        if key is not None:
            yield KeyAuthority(name, key)


def _key(fields: Fields, directory: Path, roots: Roots) -> PublicKey | None:
    """Return the key of an authority, or None with the problem recorded."""
    if fields.has("file") == fields.has("data"):
        fields.wrong("file", "give exactly one of file and data")
        fields.take("file")
        fields.take("data")
        return None
    name = "file" if fields.has("file") else "data"
    text = fields.text(name)
    fields.finish()
    try:
        return load_key(directory / text, roots) if name == "file" else parse_public_key(text.encode())
    except (ConfigError, MalformedError) as error:
        fields.wrong(name, error.message)
        return None
