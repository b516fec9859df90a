"""The policy file, and the keys and trust roots it names, as one validated set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gate.core import limits
from gate.core.authorities import KeyAuthority, SecondOpinion
from gate.core.errors import ConfigError, MalformedError
from gate.core.keys import PublicKey, parse_public_key
from gate.core.policy import HelmOciChoice, NoMatch, Policy, SourceChoice, Sources, Term, single_key_policy
from gate.core.quote import plain, quote
from gate.core.trust import TrustedRoot
from gate.fields import Fields, Problems
from gate.strictyaml import parse
from gate.trust.policyrules import parse_exceptions, parse_rules, parse_term
from gate.trust.roots import Roots

API_VERSION = "gate/v1"
KIND = "Policy"

_NO_MATCHES = {choice.value: choice for choice in NoMatch}
_CHOICES = {choice.value: choice for choice in SourceChoice}
_HELM_OCI = {choice.value: choice for choice in HelmOciChoice}


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

    ``roots`` reads every file, the policy's own included. Names of files are relative to the policy's directory.
    """
    document = roots.read(path, limits.POLICY_BYTES, "the policy")
    problems = Problems(plain(path.name))
    node = parse(document, limit=limits.POLICY_BYTES, name=problems.name)
    fields = Fields.of(node, "", node.line, problems)
    fields.choice("apiVersion", {API_VERSION: API_VERSION})
    fields.choice("kind", {KIND: KIND})
    no_match = fields.choice("noMatch", _NO_MATCHES)
    sources = _sources(fields.section("sources", required=True))
    rollout = _rollout(fields.section("rollout")) if fields.has("rollout") else None
    rules = parse_rules(fields, _Files(path.parent, roots))
    exceptions = parse_exceptions(fields)
    fields.finish()
    problems.raise_any()
    return Policy(no_match, sources, rules, rollout, exceptions)


@dataclass(frozen=True, slots=True)
class _Files:
    """The files that a policy names, each read once."""

    directory: Path
    roots: Roots
    keys: dict[str, PublicKey] = field(default_factory=dict)
    trusted: dict[str, TrustedRoot] = field(default_factory=dict)

    def key(self, name: str) -> PublicKey:
        if name not in self.keys:
            self.keys[name] = load_key(self.directory / name, self.roots)
        return self.keys[name]

    def root(self, name: str) -> TrustedRoot:
        if name not in self.trusted:
            self.trusted[name] = self.roots.file(self.directory / name)
        return self.trusted[name]

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        return self.roots.sigstore()


def _sources(fields: Fields) -> Sources:
    git = fields.choice("git", _CHOICES)
    helm_http = fields.choice("helmHttp", _CHOICES)
    helm_oci = fields.choice("helmOci", _HELM_OCI)
    require_digest = fields.truth("requireDigest", default=False)
    fields.finish()
    return Sources(git, helm_http, require_digest, helm_oci)


def _rollout(fields: Fields) -> Term | None:
    fields.choice("mode", {"warn": "warn"})
    term = parse_term(fields)
    fields.finish()
    return term
