"""RootSync and RepoSync objects of Config Sync: their source, what they claim, and who reconciles them. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Self, TypeAlias

from gate.core.errors import MalformedError
from gate.core.oci import Digest, Reference
from gate.core.policy import Context
from gate.core.quote import quote
from gate.core.strictjson import Json, Object, expect_object, expect_string
from gate.fronts.admission import Review

GROUP = "configsync.gke.io"
VERSIONS = frozenset({"v1beta1", "v1alpha1"})
ROOT_SYNC = "RootSync"
REPO_SYNC = "RepoSync"

# What a reconciler writes before it syncs: one annotation, or the pair that came before it.
IMAGE_TO_SYNC = "configsync.gke.io/image-to-sync"
SOURCE_URL = "configsync.gke.io/source-url"
SOURCE_COMMIT = "configsync.gke.io/source-commit"
CLAIM_ANNOTATIONS = (IMAGE_TO_SYNC, SOURCE_URL, SOURCE_COMMIT)

_RECONCILER_ACCOUNTS = "system:serviceaccount:config-management-system:"
# Semantic Versioning 2.0.0: what Config Sync takes for a version and no range (pkg/helm/helm.go, isRange).
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_EXACT_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "generation"})  # the API server's own, in metadata


@dataclass(frozen=True, slots=True)
class Git:
    """A git repository: nothing that carries a signature gate could verify."""


@dataclass(frozen=True, slots=True)
class HelmHttp:
    """A Helm chart that is not fetched from an OCI registry."""


@dataclass(frozen=True, slots=True)
class HelmOci:
    """A Helm chart in an OCI registry; what is not there, or is no text, is empty."""

    repo: str
    chart: str
    version: str

    @property
    def claim(self) -> str:
        """What Config Sync reports of it: the version in the place of a digest, and not which chart."""
        return f"{self.repo}@sha256:{self.version}"

    def reference(self) -> Reference:
        """Return the image that Helm fetches, or raise MalformedError where that is not the same whenever it looks."""
        if _EXACT_VERSION.fullmatch(self.version) is None:
            raise MalformedError(f"its version {quote(self.version)} is not an exact one, like 1.2.3")
        scheme, _, place = f"{self.repo}/{self.chart}".partition("://")
        if scheme != "oci":
            raise MalformedError(f"its repo {quote(self.repo)} does not begin with oci://")
        reference = Reference.parse(f"{place}:{self.version.replace('+', '_')}")  # Helm: a tag has no +
        # To Helm the first segment is a host, always; elsewhere one without a dot or a port belongs to Docker Hub.
        if reference.repository != place.partition("/")[2]:
            raise MalformedError(f"{quote(place)} does not begin with a host name")
        return reference

    @property
    def references(self) -> tuple[Reference, ...]:
        """What rules and exceptions know it by: nothing where it names no one version."""
        try:
            return (self.reference(),)
        except MalformedError:
            return ()


@dataclass(frozen=True, slots=True)
class Oci:
    """An OCI image: ``image`` as written in the spec, which claims repeat letter by letter."""

    image: str
    reference: Reference

    @property
    def references(self) -> tuple[Reference, ...]:
        """What rules and exceptions know it by."""
        return (self.reference,)

    def claimed(self, claim: str) -> Digest | None:
        """Return the digest if ``claim`` is ``<image>@sha256:<64 hex digits>``, the image letter by letter; or None."""
        prefix = self.image + "@"
        if not claim.startswith(prefix):
            return None
        try:
            return Digest.parse(claim.removeprefix(prefix))
        except MalformedError:
            return None


Source: TypeAlias = Git | HelmHttp | HelmOci | Oci


def parse_source(sync: Object) -> Source:
    """Return the source that ``spec.sourceType`` selects (git when absent), or raise MalformedError."""
    spec = expect_object(sync.get("spec"), "spec")
    kind = expect_string(spec.get("sourceType", "git"), "spec.sourceType")
    if kind not in {"git", "oci", "helm"}:
        raise MalformedError(f"spec.sourceType is {quote(kind)}, not git, oci or helm")
    block = expect_object(spec.get(kind), f"spec.sourceType is {kind}, and spec.{kind}")
    if kind == "git":
        return Git()
    if kind == "helm":
        repo = expect_string(block.get("repo"), "spec.helm.repo")
        # Config Sync knows only the lower-case scheme; what merely looks like it must not pass as plain HTTP.
        if not repo.strip().lower().startswith("oci:"):
            return HelmHttp()
        return HelmOci(repo, *(_text(block.get(name)) for name in ("chart", "version")))
    image = expect_string(block.get("image"), "spec.oci.image")
    return Oci(image, Reference.parse(image))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def parse_claims(sync: Object) -> tuple[str, ...]:
    """Return what the annotations say is synced, or raise MalformedError; an empty value says nothing."""
    annotations = _annotations(sync)
    image, url, commit = (expect_string(annotations.get(name, ""), f'"{name}"') for name in CLAIM_ANNOTATIONS)
    if bool(url) != bool(commit):
        raise MalformedError(f"one of {quote(SOURCE_URL)} and {quote(SOURCE_COMMIT)} is set without the other")
    pair = f"{url}@sha256:{commit}" if url else ""
    return tuple(claim for claim in (image, pair) if claim)


def _annotations(sync: Object) -> Object:
    metadata = expect_object(sync.get("metadata"), "metadata")
    annotations = metadata.get("annotations")
    return {} if annotations is None else expect_object(annotations, "metadata.annotations")


def reconciler_username(kind: str, namespace: str, name: str) -> str:
    """Return the user name of the reconciler of one object (kpt-config-sync, pkg/core/names.go)."""
    if kind == ROOT_SYNC:
        return _RECONCILER_ACCOUNTS + ("root-reconciler" if name == "root-sync" else f"root-reconciler-{name}")
    if name == "repo-sync":
        return f"{_RECONCILER_ACCOUNTS}ns-reconciler-{namespace}"
    # The length tells namespace a-b with name c from namespace a with name b-c.
    return f"{_RECONCILER_ACCOUNTS}ns-reconciler-{namespace}-{name}-{len(name.encode())}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What a CREATE or UPDATE changes; on CREATE everything is new.

    ``poll`` is the reconciler's own update that changes nothing: it is about to sync what is claimed.
    """

    created: bool
    source: bool
    claims: bool
    poll: bool
    by_reconciler: bool

    @property
    def starts(self) -> bool:
        """True where something may be synced that was not before: a new object, a new source, or a poll."""
        return self.created or self.source or self.poll

    @classmethod
    def of(cls, review: Review) -> Self | None:
        """Return the difference, or None where the review does not carry what its operation needs. Never raises."""
        by_reconciler = review.kind in {ROOT_SYNC, REPO_SYNC} and review.username == reconciler_username(
            review.kind, review.namespace, review.name
        )
        new, old = review.object, review.old_object
        if review.operation == "CREATE" and new is not None:
            return cls(created=True, source=True, claims=True, poll=False, by_reconciler=by_reconciler)
        if review.operation != "UPDATE" or new is None or old is None:
            return None
        return cls(
            created=False,
            source=not _same(_whole_source(new), _whole_source(old)),
            claims=not _same(_whole_claims(new), _whole_claims(old)),
            poll=by_reconciler and _without_bookkeeping(new) == _without_bookkeeping(old),
            by_reconciler=by_reconciler,
        )


def _whole_source(sync: Object) -> Json:
    """Return everything that decides what is synced, readable or not."""
    spec = sync.get("spec")
    if not isinstance(spec, dict):
        return {"spec": spec}
    kind = spec.get("sourceType", "git")
    block = spec.get(kind) if isinstance(kind, str) else None
    if isinstance(block, dict):
        # How often the source is looked at is not part of what it is; reconcilers write it by themselves.
        block = {name: value for name, value in block.items() if name != "period"}
    return [kind, block]


def _whole_claims(sync: Object) -> Json:
    """Return the annotations that make claims, readable or not; an absent one is an empty one."""
    metadata = sync.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else metadata
    if annotations is None:
        annotations = {}
    if not isinstance(annotations, dict):
        return {"unreadable": annotations}
    return [annotations.get(name, "") for name in CLAIM_ANNOTATIONS]


def _same(one: Json, other: Json) -> bool:
    """Return whether both are the same JSON; in Python 1 == True == 1.0, and 0.0 == -0.0."""
    # What reads alike is alike; the names of an object may still come in another order.
    return repr(one) == repr(other) or (one == other and _canonical(one) == _canonical(other))


_CANONICAL = json.JSONEncoder(sort_keys=True)


def _canonical(value: Json) -> str:
    return _CANONICAL.encode(value)


def _without_bookkeeping(sync: Object) -> Object:
    metadata = sync.get("metadata")
    if not isinstance(metadata, dict):
        return sync
    return {**sync, "metadata": {name: value for name, value in metadata.items() if name not in _BOOKKEEPING}}


@dataclass(frozen=True, slots=True)
class Change:
    """A review of a RootSync or RepoSync that changes something, read and checked.

    ``old_source`` is None on CREATE, and where the old object's source cannot be read.
    """

    difference: Difference
    context: Context
    source: Source
    old_source: Source | None
    claims: tuple[str, ...]

    @classmethod
    def parse(cls, review: Review, difference: Difference | None) -> Self:
        """Return the change, or raise MalformedError that says what cannot be judged.

        ``difference`` is what Difference.of() says of the same review.
        """
        if review.group != GROUP or review.version not in VERSIONS or review.kind not in {ROOT_SYNC, REPO_SYNC}:
            kind = quote(f"{review.group}/{review.version} {review.kind}")
            raise MalformedError(f"the object is a {kind}, not a RootSync or RepoSync that gate knows")
        if difference is None or review.object is None:
            raise MalformedError(f"the operation {quote(review.operation)} comes without the objects to judge it by")
        context = Context(review.kind, review.namespace, _require_identity(review, review.object))
        claims, source = parse_claims(review.object), parse_source(review.object)
        # Where the source does not change, the old one is read already.
        old = _readable_source(None if difference.created else review.old_object) if difference.source else source
        return cls(difference, context, source, old, claims)


def _require_identity(review: Review, sync: Object) -> str | None:
    """Return the object's name if the object is the one that the request names, else raise MalformedError.

    None for a name that is not known yet: rules that look at names do not match it.
    """
    if (sync.get("apiVersion"), sync.get("kind")) != (f"{review.group}/{review.version}", review.kind):
        raise MalformedError("the object's apiVersion and kind are not those of the request")
    metadata = expect_object(sync.get("metadata"), "metadata")
    if not review.namespace or metadata.get("namespace") != review.namespace:
        raise MalformedError("metadata.namespace is not the namespace of the request")
    # The API server answers a generateName before it asks, and leaves the name of the request empty.
    generated = review.operation == "CREATE" and not review.name and isinstance(metadata.get("generateName"), str)
    name = metadata.get("name", "" if generated else None)
    if not isinstance(name, str) or not (generated or (name and name == review.name)):
        raise MalformedError("metadata.name is not the name of the request")
    return name or None


def _readable_source(sync: Object | None) -> Source | None:
    if sync is None:
        return None
    try:
        return parse_source(sync)
    except MalformedError:
        return None
