"""The JSON Schema of the policy file: what an editor can know of it. The reader in policyfile.py is stricter still."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

from gate.core.policy import HelmOciChoice, MatchReference, Mode, NoMatch, OnUnavailable, SourceChoice
from gate.core.strictjson import Json
from gate.trust.policyauthorities import SIGNED_TIMESTAMP, SIGSTORE, TRANSPARENCY_LOG
from gate.trust.policyfile import API_VERSION, KIND
from gate.trust.policyrules import OBJECT_GLOB, OBJECT_KINDS, OBJECT_NAME, STATIC

Schema: TypeAlias = "dict[str, Json]"

_TEXT: Schema = {"type": "string", "minLength": 1}
_SHA256 = "sha256:[0-9a-f]{64}"
_DIGEST: Schema = {"type": "string", "pattern": f"^{_SHA256}$"}
_INSTANT: Schema = {
    "type": "string",
    "description": "RFC 3339 with a zone; one that is past, or more than 30 days ahead, has no effect.",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
}
_REASON: Schema = {"type": ["string", "null"], "description": "Why; without one there is no effect."}


def policy_schema() -> Schema:
    """Return the schema (JSON Schema 2020-12) of a policy file read as YAML 1.2."""
    required = ("apiVersion", "kind", "noMatch", "sources", "rules")
    described = "Which signatures Config Sync's sources need."
    properties: dict[str, Json] = {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": KIND},
        "noMatch": _choice(NoMatch, "Where no enforce or warn rule matches."),
        "sources": _sources(),
        "rollout": _object({"mode": {"const": "warn"}, "until": _INSTANT, "reason": _REASON}, ("mode", "until")),
        "rules": _list(_rule()),
        "exceptions": {"type": "array", "items": _exception(), "description": "Break-glass, recorded at every use."},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of gate",
        "description": described,
        **_object(properties, required),
    }


def _object(properties: dict[str, Json], required: Iterable[str] = ()) -> Schema:
    named: list[Json] = [*required]
    return {"type": "object", "additionalProperties": False, "required": named, "properties": properties}


def _list(items: Schema, description: str | None = None) -> Schema:
    about: Schema = {} if description is None else {"description": description}
    return {"type": "array", "minItems": 1, "items": items, **about}


def _set(items: Schema, description: str) -> Schema:
    return {**_list(items, description), "uniqueItems": True}


def _choice(choices: type[Enum] | Iterable[str], description: str, default: str | None = None) -> Schema:
    values: list[Json] = [choice.value if isinstance(choice, Enum) else choice for choice in choices]
    about: Schema = {} if default is None else {"default": default}
    return {"enum": values, "description": description, **about}


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _exactly_one(*names: str) -> Schema:
    return {"oneOf": [{"required": [name]} for name in names]}


def _at_most_one(*names: str) -> Schema:
    return {"not": {"required": [*names]}}


def _sources() -> Schema:
    source = "Always, only where the source is of this kind already, or never."
    digest: Schema = {"type": "boolean", "default": False, "description": "spec.oci.image carries a digest."}
    properties: dict[str, Json] = {
        "git": _choice(SourceChoice, source),
        "helmHttp": _choice(SourceChoice, source),
        "helmOci": _choice(HelmOciChoice, "Whether the chart's exact version is looked up and verified."),
        "requireDigest": digest,
    }
    return _object(properties, ("git", "helmHttp", "helmOci"))


def _rule() -> Schema:
    properties: dict[str, Json] = {
        "name": _TEXT,
        "mode": _choice(Mode, "Deny, admit with a warning, or only record.", Mode.ENFORCE.value),
        "match": _match(),
        "require": _require(),
        "matchReference": _choice(
            MatchReference,
            "Whether a signed payload that names a repository must name this one.",
            MatchReference.IGNORE.value,
        ),
        "onUnavailable": _choice(OnUnavailable, "What an outage of the registry means.", OnUnavailable.DENY.value),
        "authorities": _list(_authority(), "Who may sign."),
        "static": _choice(STATIC, "A fixed answer in the place of authorities; fail beats exceptions."),
        "message": {**_TEXT, "description": "Told to whoever is denied."},
    }
    signed_only: Schema = {
        "if": {"required": ["static"]},
        "then": {"properties": {"require": False, "matchReference": False, "onUnavailable": False}},
    }
    return {**_object(properties, ("name", "match")), **_exactly_one("authorities", "static"), **signed_only}


def _match() -> Schema:
    properties: dict[str, Json] = {
        "images": _set(_TEXT, "Repository globs: * within a segment, ** across segments; never tags."),
        "kinds": _set(_choice(OBJECT_KINDS, "The kind of the object that syncs."), "Any of them."),
        "namespaces": _set(_pattern(OBJECT_GLOB), "Any of them; * for any characters."),
        "names": _set(_pattern(OBJECT_GLOB), "Any of them; * for any characters."),
        "digests": _set(_DIGEST, "Any of them, as an index or as its manifest."),
    }
    return {**_object(properties, ("images",)), "description": "All that is given must match."}


def _require() -> Schema:
    properties: dict[str, Json] = {
        "count": {"type": "integer", "minimum": 1, "default": 1, "description": "Distinct signers."},
        "all": _set(_TEXT, "Names of authorities, each with a signer of its own."),
    }
    return {**_object(properties), **_at_most_one("count", "all")}


def _authority() -> Schema:
    properties: dict[str, Json] = {
        "name": _TEXT,
        "key": {**_object({"file": _TEXT, "data": _TEXT}), **_exactly_one("file", "data")},
        "keyless": _object({"identities": _list(_identity())}, ("identities",)),
        "transparencyLog": _choice(TRANSPARENCY_LOG, "For a key ignore if not given, for keyless required."),
        "trustRoot": {
            "description": "Sigstore's public good instance, or a trusted_root.json.",
            "oneOf": [{"const": SIGSTORE}, _object({"file": _TEXT}, ("file",))],
        },
        "signedTimestamp": _choice(SIGNED_TIMESTAMP, "Whether an RFC 3161 timestamp is required.", "auto"),
    }
    timestamped: Schema = {"required": ["signedTimestamp"]}
    key: Schema = {"if": {"required": ["key"]}, "then": {"dependentRequired": {"signedTimestamp": ["trustRoot"]}}}
    proved: Schema = {
        "if": {"required": ["keyless", "transparencyLog"], "properties": {"transparencyLog": {"const": "ignore"}}},
        "then": {**timestamped, "properties": {"signedTimestamp": {"const": "required"}}},
    }
    own_root: Schema = {"required": ["trustRoot"], "properties": {"trustRoot": {"type": "object"}}}
    with_issuer: Schema = {"items": _exactly_one("issuer", "issuerRegExp")}
    named: Schema = {
        "if": {"required": ["keyless"], "not": own_root},
        "then": {"properties": {"keyless": {"properties": {"identities": with_issuer}}}},
    }
    return {**_object(properties, ("name",)), **_exactly_one("key", "keyless"), "allOf": [key, proved, named]}


def _identity() -> Schema:
    names = ("issuer", "issuerRegExp", "subject", "subjectRegExp")
    described = "Exact, or by a whole-string RE2; without an issuer only for a trust root from a file."
    return {
        **_object(dict.fromkeys(names, _TEXT)),
        "description": described,
        **_exactly_one("subject", "subjectRegExp"),
        **_at_most_one("issuer", "issuerRegExp"),
    }


def _exception() -> Schema:
    term: dict[str, Json] = {"reason": _REASON, "until": _INSTANT}
    image: Schema = {"type": "string", "pattern": f"^([^@]*/)?[^@/:]+@{_SHA256}$", "description": "Without a tag."}
    name = _pattern(OBJECT_NAME)
    about_object: dict[str, Json] = {
        "repository": _TEXT,
        "kind": _choice(OBJECT_KINDS, "The kind of the one object."),
        "namespace": name,
        "name": name,
    }
    return {
        "oneOf": [
            _object({"image": image, **term}, ("image", "until")),
            _object({**about_object, **term}, (*about_object, "until")),
        ]
    }
