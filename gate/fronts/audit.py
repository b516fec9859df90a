"""What syncs now, judged as if its reconciler asked for it at this moment. Pure.

What an object syncs is what its status says: ``.status.sync.commit``, of the source that stands beside it, or of the
spec's where none does. The annotation is no evidence: it may name what was never synced. That is put into the form of
the reconciler's next poll, so that an audit and the webhook cannot disagree about a policy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from gate.core.errors import MalformedError
from gate.core.oci import Digest
from gate.core.policy import BreakGlass, Context, Policy, Rule
from gate.core.quote import quote
from gate.core.reasons import LENIENT, Reason
from gate.core.report import describe
from gate.core.strictjson import Json, Object, expect_object, expect_string
from gate.core.subjects import Subject
from gate.core.verdict import Decision, Denied, Exempt, Unavailable
from gate.fronts import admission, configsync
from gate.fronts.syncs import (
    GROUP,
    IMAGE_TO_SYNC,
    ROOT_SYNC,
    Git,
    HelmHttp,
    HelmOci,
    Oci,
    Source,
    parse_source,
    reconciler_username,
)

FIRST_TO_ASK = (1, 20)  # the version of Config Sync that first asks before it syncs
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})\.[0-9]{1,4}(?:[-+.].*)?", re.ASCII)
_STATUS_SOURCES = {"git": "gitStatus", "oci": "ociStatus", "helm": "helmStatus"}
_REPOSITORIES = {"git": "repo", "oci": "image", "helm": "repo"}  # which field of a source says where it comes from
_NOTHING_SYNCED = f"{Reason.NO_DIGEST_YET}: nothing is synced yet"


@dataclass(frozen=True, slots=True)
class Question:
    """What a decision depends on besides the policy: equal questions have one answer.

    Who asks, the ``context``, matters only to rules and exceptions.
    """

    subject: Subject
    rules: tuple[Rule, ...]
    exceptions: tuple[BreakGlass, ...]
    context: Context = field(compare=False)

    @classmethod
    def of(cls, ask: configsync.Ask, policy: Policy) -> Self:
        """Return the question of what one object syncs."""
        (subject,) = ask.subjects  # one commit is one subject
        reference, context = subject.reference, ask.context
        rules = tuple(rule for rule in policy.rules if rule.match.may_match(reference, context))
        exceptions = tuple(each for each in policy.exceptions if each.covers(reference, context))
        return cls(subject, rules, exceptions, context)


@dataclass(frozen=True, slots=True)
class Synced:
    """One RootSync or RepoSync, and what it syncs now.

    ``source_type`` is None where it cannot be read. ``what`` is for people: an image with its digest, a chart with its
    version, a git repository with its commit; None where nothing is synced. ``current`` is False where the spec names
    another source by now. ``question`` is what is to be verified, or the decision where nothing is; of what the object
    itself says, ``excused`` is what an exception or the rollout admits.
    """

    kind: str
    namespace: str
    name: str
    source_type: str | None
    what: str | None
    current: bool
    question: Question | Decision
    excused: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one object."""

    synced: Synced
    decision: Decision

    @property
    def lenient(self) -> bool:
        """Whether it syncs unverified for now: by a rollout, an exception, a mode or an outage that is let pass."""
        verdict = self.decision.verdict
        return isinstance(verdict, Exempt) and (
            verdict.reason in LENIENT or bool(verdict.warnings) or self.decision.refused is not None
        )

    @classmethod
    def of(cls, synced: Synced, decision: Decision) -> Self:
        """Return the row, given the decision on what is to be verified: to admit is worth no more than its excuse."""
        for excuse in synced.excused[:1] if decision.admits else ():
            decision = replace(decision, verdict=excuse.verdict, refused=excuse.refused)
        return cls(synced, decision)


def examine(kind: str, sync: Object, policy: Policy, now: datetime) -> Synced:
    """Return what ``sync``, listed as a ``kind``, syncs now, and what ``policy`` asks of it at ``now`` (aware).

    Nothing is raised: what cannot be read is denied as malformed.
    """
    namespace, name = _identity(sync)
    try:
        return _examine(kind, namespace, name, sync, policy, now)
    except MalformedError as error:
        denied = Denied(Reason.MALFORMED, f"{Reason.MALFORMED}: {error.message}")
        return Synced(kind, namespace, name, None, None, current=True, question=Decision(denied))


def _identity(sync: Object) -> tuple[str, str]:
    metadata = sync.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    namespace, name = (fields.get(each) for each in ("namespace", "name"))
    return (namespace if isinstance(namespace, str) else "", name if isinstance(name, str) else "")


def _examine(kind: str, namespace: str, name: str, sync: Object, policy: Policy, now: datetime) -> Synced:
    spec = expect_object(sync.get("spec"), "spec")
    wanted_type = expect_string(spec.get("sourceType", "git"), "spec.sourceType")
    commit, source_type, block = _synced_now(sync, spec, wanted_type)
    if not commit:
        nothing = Decision(Exempt(Reason.NO_DIGEST_YET, _NOTHING_SYNCED))
        return Synced(kind, namespace, name, wanted_type, None, current=True, question=nothing)
    wanted, field = spec.get(wanted_type), _REPOSITORIES.get(source_type, "")
    current = source_type == wanted_type and isinstance(wanted, Mapping) and wanted.get(field) == block.get(field)
    source_only: Object = {"sourceType": source_type, source_type: block}
    what, claim = _describe_source(parse_source({"spec": source_only}), block, commit)
    review = _poll(kind, namespace, name, source_only, claim)
    question, excused = _ask(configsync.examine(review, policy, now), policy)
    return Synced(kind, namespace, name, source_type, what, current, question, excused)


def _synced_now(sync: Object, spec: Object, wanted_type: str) -> tuple[str, str, Object]:
    """Return the commit that is synced (empty for none), and the type and block of the source that it is of."""
    synced = _part(_part(sync, "status"), "sync")
    commit = expect_string(synced.get("commit", ""), "status.sync.commit")
    reported = [kind for kind, field in _STATUS_SOURCES.items() if synced.get(field) is not None]
    if len(reported) > 1:
        raise MalformedError("status.sync names more than one source")
    source_type = reported[0] if reported else wanted_type
    block = synced.get(_STATUS_SOURCES[source_type]) if reported else spec.get(source_type)
    if source_type == "helm" and commit:
        # What was rendered is the version that is reported: the one that is asked for may be a range.
        block = {**expect_object(block, "the source that is synced"), "version": commit}
    return commit, source_type, expect_object(block, "the source that is synced") if commit else {}


def _part(whole: Object, name: str) -> Object:
    """Return a part of a status, empty where it is not written yet."""
    return expect_object(whole.get(name, {}), quote(name))


def _describe_source(source: Source, block: Object, commit: str) -> tuple[str, str | None]:
    """Return what is synced, for people, and as its reconciler claims it."""
    match source:
        case Oci(image):
            Digest.parse(f"sha256:{commit}")
            return f"{image}@sha256:{commit}", f"{image}@sha256:{commit}"
        case HelmOci(repo, chart) as helm:
            return f"{repo}/{chart}:{commit}", helm.claim
        case Git() | HelmHttp():
            return f"{expect_string(block.get('repo'), 'the repository that is synced')}@{commit}", None


def _ask(outcome: configsync.Outcome, policy: Policy) -> tuple[Question | Decision, tuple[Decision, ...]]:
    """Return what the webhook would ask about the poll that claims what is synced, or answer, and what is excused."""
    match outcome:
        case configsync.Ask(_, _, excused) as ask:
            return Question.of(ask, policy), excused
        case configsync.Admit(reason, message, warnings, excused):
            return Decision(Exempt(reason, message, warnings)), excused
        case configsync.Refuse(reason, message):
            return Decision(Denied(reason, message)), ()


def _poll(kind: str, namespace: str, name: str, spec: Object, claim: str | None) -> admission.Review:
    annotations = {} if claim is None else {IMAGE_TO_SYNC: claim}
    metadata: Object = {"namespace": namespace, "name": name, "annotations": annotations}
    held: Object = {"apiVersion": f"{GROUP}/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}
    return admission.Review(
        api_version=admission.V1,
        uid="audit",
        operation="UPDATE",
        group=GROUP,
        version="v1beta1",
        kind=kind,
        resource=f"{kind.lower()}s",
        subresource=None,
        namespace=namespace,
        name=name,
        username=reconciler_username(kind, namespace, name),
        dry_run=True,
        object=held,
        old_object=held,
    )


def config_sync_asks(image: str) -> bool | None:
    """Return whether the Config Sync of a manager ``image`` asks before it syncs, or None: its tag is no version."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]  # a host may have a port
    match = _VERSION.fullmatch(tag)
    return None if match is None else (int(match[1]), int(match[2])) >= FIRST_TO_ASK


def describe_row(row: Row) -> dict[str, Json]:
    """Return a row as data; an element of "objects" in docs/audit.schema.json."""
    synced = row.synced
    described = describe(row.decision)
    del described["candidates"]  # gate verify tells them of one image; a thousand objects would drown in them
    return {
        "kind": synced.kind,
        "namespace": synced.namespace,
        "name": synced.name,
        "sourceType": synced.source_type,
        "synced": synced.what,
        "current": synced.current,
        **described,
    }


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many objects there are, by verdict; every verdict is there."""
    found = Counter(type(row.decision.verdict).__name__.lower() for row in rows)
    return {verdict: found[verdict] for verdict in ("verified", "exempt", "denied", "unavailable")}


def severity(row: Row) -> tuple[int, str, str, str]:
    """Return by what rows are ordered: what is denied first, then what could not be told, then by name."""
    verdict = row.decision.verdict
    rank = 0 if isinstance(verdict, Denied) else 1 if isinstance(verdict, Unavailable) else 2
    return rank, "" if row.synced.kind == ROOT_SYNC else row.synced.kind, row.synced.namespace, row.synced.name
