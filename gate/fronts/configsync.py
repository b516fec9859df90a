"""What a review of a RootSync or RepoSync means: admitted, refused, or an image to verify first. Pure.

Config Sync's reconciler fetches its source, writes the image and digest that it is about to sync into an annotation
(the *claim*), and goes on if that patch is admitted. It sends the patch at every poll, changed or not.

Every step that applies must pass; the code below refers to them by number::

    0  a subresource is written, or the object deleted          nothing to verify
    1  neither source nor claims change, and it is no poll      nothing to verify: a bad object stays repairable
    2  the source is new, or a poll                             the policy allows the source, and a rule matches
    3  the source is new, or a poll, and the image is pinned    verify the pinned digest, or what is claimed of it
    4  claims are new, or a poll                                each is of the current source: verify its digest
    5  the reconciler itself claims nothing of an OCI source    refused
    6  somebody else removes claims                             admitted: the next poll sets and verifies them

Of a Helm chart in a registry the version is claimed, and where the policy lets it be looked up, what it names there is
verified: at steps 2 and 4. A dry run gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from gate.core.combine import no_rule_message
from gate.core.errors import MalformedError
from gate.core.leniency import relent
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, HelmOciChoice, NoMatch, Policy, SourceChoice
from gate.core.quote import QUOTED_LIMIT, quote
from gate.core.reasons import Reason, clause
from gate.core.subjects import Chart, Claimed, Image, Subject
from gate.core.verdict import Decision, Denied, Exempt
from gate.fronts.admission import Review
from gate.fronts.answers import Answer, answer_excused, answer_operator, answer_tenant, excuse
from gate.fronts.outcomes import Admit, Ask, Offline, Outcome, Refuse, offline
from gate.fronts.syncs import ROOT_SYNC, Change, Difference, Git, HelmHttp, HelmOci, Oci, Source

__all__ = ["Admit", "Answer", "Ask", "Offline", "Outcome", "Refuse", "conclude", "examine", "offline"]

_DIGEST_LENGTH = 71  # characters of sha256: and 64 hex digits


def examine(review: Review, policy: Policy, now: datetime) -> Outcome:
    """Return what is to be done about ``review`` at ``now`` (aware). Nothing is raised: what cannot be read is refused.

    What an exception or the rollout excuses is left behind, and every other step still applies.
    """
    difference = Difference.of(review)
    exempt = _exempt(review, difference)
    if exempt is not None:
        return exempt
    try:
        change = Change.parse(review, difference)
    except MalformedError as error:
        return _refuse(Reason.MALFORMED, error.message)
    subjects = _subjects(change, policy)
    excused: list[Decision] = []
    for refusal in (_check_source(change, policy), _check_claims(change, policy), _check_silence(change)):
        answer = _relent(refusal, change, policy, now)
        if isinstance(answer, Refuse):
            return answer
        excused += () if answer is None else (answer,)
    answer = _relent(_check_match(change, subjects, policy), change, policy, now)
    if isinstance(answer, Refuse):
        return answer
    # Of a subject the decision itself says that no rule is about it.
    excused += () if answer is None or subjects else (answer,)
    return _proceed(change, subjects, policy, tuple(dict.fromkeys(excused)))


def _relent(refusal: Refuse | None, change: Change, policy: Policy, now: datetime) -> Decision | Refuse | None:
    """Return the refusal, or what an exception or the rollout makes of it.

    What is claimed is synced by whoever claims it, however false it is: what a rule refuses by digest is refused there.
    """
    if refusal is None:
        return None
    refused = Denied(refusal.reason, refusal.message)
    claimed = tuple(each for claim in _judged_claims(change) for each in _claimed_images(change.source, claim))
    answer = relent(refused, refusal.about, change.context, policy, now, beside=claimed)
    return Decision(answer, refused=refused) if isinstance(answer, Exempt) else Refuse(answer.reason, answer.message)


def conclude(ask: Ask, decisions: tuple[Decision, ...]) -> Answer:
    """Return the answer to a review, given a decision on each subject that examine() asked about, in its order.

    Every decision must admit. Owners of a RepoSync are tenants, who are told less. ValueError where the decisions are
    not as many as the subjects, or there are none: that would admit what nobody looked at.
    """
    asked = tuple((subject.reference, each) for subject, each in zip(ask.subjects, decisions, strict=True))
    answer = answer_operator(asked) if ask.context.kind == ROOT_SYNC else answer_tenant(asked)
    return excuse(answer, ask.excused)


def _exempt(review: Review, difference: Difference | None) -> Admit | None:
    """Steps 0 and 1: what cannot change what is synced, whatever the object looks like."""
    if review.subresource is not None:
        return _plainly(Reason.STATUS)
    if review.operation == "DELETE":
        return _plainly(Reason.DELETE)
    if difference is None or difference.source or difference.claims or difference.poll:
        return None
    return Admit(Reason.UNCHANGED, f"{Reason.UNCHANGED}: neither source nor claims change, and it is no poll")


def _check_source(change: Change, policy: Policy) -> Refuse | None:
    """Step 2: the policy allows this kind of source."""
    if not change.difference.starts:
        return None
    sources = policy.sources
    match change.source:
        case Git():
            return _check_choice("git", sources.git, existing=isinstance(change.old_source, Git))
        case HelmHttp():
            return _check_choice("helmHttp", sources.helm_http, existing=isinstance(change.old_source, HelmHttp))
        case HelmOci() as chart:
            return _check_chart(chart, policy)
        case Oci(image, reference) if sources.require_digest and reference.digest is None:
            wanted = "append @sha256:<digest> to it"
            message = f"spec.oci.image is {quote(image)} and carries no digest; {wanted}"
            return _refuse(Reason.DIGEST_REQUIRED, message, (reference,))
        case Oci():
            return None


def _check_choice(name: str, choice: SourceChoice, *, existing: bool) -> Refuse | None:
    match choice:
        case SourceChoice.ALLOW:
            return None
        case SourceChoice.EXISTING if existing:
            return None
        case SourceChoice.EXISTING:
            why = f"the policy allows {name} only where the source is {name} already"
        case SourceChoice.DENY:
            why = f"the policy does not allow {name}"
    return _refuse(Reason.SOURCE_DENIED, f"{why}; use an OCI source, or change sources in the policy")


def _check_chart(chart: HelmOci, policy: Policy) -> Refuse | None:
    """Return None where the policy lets the version be looked up, and it is one that names one chart."""
    match policy.sources.helm_oci:
        case HelmOciChoice.DENY:
            return _refuse_chart(chart, "is named by a version and not by its content, and the policy denies that")
        case HelmOciChoice.RESOLVE:
            try:
                chart.reference()
            except MalformedError as error:
                return _refuse_chart(chart, f"cannot be looked up: {error.message}")
            return None


def _refuse_chart(chart: HelmOci, why: str) -> Refuse:
    advice = "package the rendered configuration as an OCI source and sign that"
    return _refuse(Reason.HELM_OCI, f"the Helm chart in {quote(chart.repo)} {why}; {advice}", chart.references)


def _judged_claims(change: Change) -> tuple[str, ...]:
    """Return the claims that step 4 is about, or step 3: where only the source is new, those of the pinned image."""
    difference, source = change.difference, change.source
    if difference.claims or difference.poll:
        return change.claims
    if not isinstance(source, Oci) or source.reference.digest is None:
        return ()
    # What is left of another source is replaced at the next poll: it is no obstacle to setting the source right.
    return tuple(claim for claim in change.claims if source.claimed(claim) is not None)


def _check_claims(change: Change, policy: Policy) -> Refuse | None:
    """Step 4, and of step 3 the claim that goes with a pinned image."""
    claims = _judged_claims(change)
    match change.source:
        case Oci() as source:
            refusals = (_check_claim(source, claim) for claim in claims)
            refusal = next((refusal for refusal in refusals if refusal is not None), None)
            return refusal or _check_agreement(source, claims)
        case HelmOci() as chart if claims or change.difference.by_reconciler:
            return _check_chart(chart, policy) or _check_chart_claims(chart, claims)
        case Git() | HelmHttp() if claims:
            # An old reconciler may still be running, and it syncs what it claims, whatever the object says now.
            return _refuse_mismatch(claims[0], "the source is not an OCI image")
        case HelmOci() | Git() | HelmHttp():
            return None


def _claimed_images(source: Source, claim: str) -> Iterator[Reference]:
    """Yield what a claim may name, also one that is not of the source: the image it reads as, and one of the source."""
    image, _, digest = claim.rpartition("@")
    try:
        claimed = Digest.parse(digest)
    except MalformedError:
        return  # of a chart its version is claimed, and of a git repository its commit
    if isinstance(source, Oci):
        yield source.reference.at(claimed)
    try:
        named = Reference.parse(image)
    except MalformedError:
        return
    yield named.at(claimed)
    yield named  # of an index that is pinned


def _check_claim(source: Oci, claim: str) -> Refuse | None:
    digest = source.claimed(claim)
    if digest is None:
        return _refuse_mismatch(claim, f"spec.oci.image is {_quote_image(source.image)}")
    return None


def _check_chart_claims(chart: HelmOci, claims: tuple[str, ...]) -> Refuse | None:
    other = next((claim for claim in claims if claim != chart.claim), None)
    return None if other is None else _refuse_mismatch(other, f"spec.helm is {_quote_image(chart.claim)}")


def _check_agreement(source: Oci, claims: tuple[str, ...]) -> Refuse | None:
    digests = sorted({str(source.claimed(claim)) for claim in claims})
    if len(digests) <= 1:
        return None
    both = f"the annotations claim {' and '.join(digests)} at once"
    return _refuse(Reason.SOURCE_MISMATCH, f"{both}; remove the annotations; Config Sync sets one again")


def _refuse_mismatch(claim: str, truth: str) -> Refuse:
    advice = "remove the annotation; Config Sync sets it again"
    return _refuse(Reason.SOURCE_MISMATCH, f"the annotation claims {_quote_image(claim)}, and {truth}; {advice}")


def _quote_image(image: str) -> str:
    """Return ``image`` quoted, and of one that is cut there also its end: a denial names the digest in full."""
    return (
        quote(image) if len(image) <= QUOTED_LIMIT else f"{quote(image)} (ending in {quote(image[-_DIGEST_LENGTH:])})"
    )


def _check_silence(change: Change) -> Refuse | None:
    """Step 5: before it syncs an image, the reconciler says which."""
    difference = change.difference
    asks = difference.by_reconciler and not difference.created and (difference.claims or difference.poll)
    if not asks or change.claims or not isinstance(change.source, Oci | HelmOci):
        return None
    source = change.source
    image = source.image if isinstance(source, Oci) else source.repo
    what = f"the reconciler asks to sync {_quote_image(image)} without naming its digest"
    return _refuse(Reason.NO_ANNOTATION, f"{what}; Config Sync names it since version 1.20", source.references)


def _subjects(change: Change, policy: Policy) -> tuple[Subject, ...]:
    """Return what is to be verified by steps 3 and 4: what is claimed, or what the source pins where nothing is."""
    claims, starts = _judged_claims(change), change.difference.starts
    match change.source:
        case Oci(_, image) as source:
            claimed = dict.fromkeys(source.claimed(claim) for claim in claims)
            subjects = tuple(Claimed(image, digest) for digest in claimed if digest is not None)
            return subjects or ((Image(image),) if starts and image.digest is not None else ())
        case HelmOci() as chart if (starts or claims) and _check_chart(chart, policy) is None:
            return (Chart(chart.reference()),)
        case HelmOci() | Git() | HelmHttp():
            return ()


def _check_match(change: Change, subjects: tuple[Subject, ...], policy: Policy) -> Refuse | None:
    """Step 2, for images: some rule is about each of them. No registry is asked about what no rule is about."""
    named = tuple(subject.references for subject in subjects)
    if not subjects and isinstance(change.source, Oci) and change.difference.starts:
        named = ((change.source.reference,),)  # a new source whose digest is not known yet
    for references in named:
        if not any(policy.covers(reference, change.context) for reference in references):
            return Refuse(Reason.NO_RULE, no_rule_message(references[0]), references)
    return None


def _proceed(change: Change, subjects: tuple[Subject, ...], policy: Policy, excused: tuple[Decision, ...]) -> Outcome:
    """Return what is to be verified, every step having passed or been excused, or why nothing is."""
    if subjects:
        return Ask(subjects, change.context, excused)
    if excused:
        told = answer_excused(excused)
        return Admit(told.reason, told.message, told.warnings, excused)
    return _without_subjects(change, policy)


def _without_subjects(change: Change, policy: Policy) -> Outcome:
    """Return why nothing is to be verified."""
    if not change.difference.starts:
        follows = (
            "the next poll sets it again and is verified" if isinstance(change.source, Oci) else "nothing needs it"
        )
        return Admit(Reason.CLAIM_REMOVED, f"{Reason.CLAIM_REMOVED}: the annotation is removed; {follows}")
    match change.source:
        case Git():
            return _plainly(Reason.GIT)
        case HelmHttp():
            return _plainly(Reason.HELM_HTTP)
        case HelmOci() as chart:
            return _refuse_chart(chart, "was not looked up")
        case Oci(_, reference):
            return replace(_plainly(Reason.NO_DIGEST_YET), warnings=_unmatched(reference, change.context, policy))


def _unmatched(reference: Reference, context: Context, policy: Policy) -> tuple[str, ...]:
    if policy.no_match is not NoMatch.WARN or replace(policy, no_match=NoMatch.DENY).covers(reference, context):
        return ()
    return (f"{Reason.NO_RULE_ALLOWED}: no rule of the policy matches {reference}; noMatch: warn admits it",)


def _plainly(reason: Reason) -> Admit:
    return Admit(reason, f"{reason}: {clause(reason.cause)}")


def _refuse(reason: Reason, message: str, about: tuple[Reference, ...] = ()) -> Refuse:
    return Refuse(reason, f"{reason}: {message}", about)
