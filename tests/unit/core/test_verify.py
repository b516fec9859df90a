"""The decision on one digest under one rule: candidates, what could not be read, and how many signers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.distinct import match_distinct
from gate.core.errors import UnavailableError
from gate.core.keys import Check, PublicKey, Signed
from gate.core.oci import Digest, Reference
from gate.core.policy import NoMatch, Pass, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate
from gate.core.verdict import Decision, Denied, Exempt, Signer, Unavailable, Verified
from gate.core.verify import decide
from gate.demo.signer import Signer as Key
from tests.fakes.signing import NOW, REPOSITORY, Image, authority, rule_for, signer

RULE = rule_for(signer())
OTHER = Digest.of(b"another image")
TIMEOUT = UnavailableError(Reason.REGISTRY_UNREACHABLE, "no connection to registry.example", outage=True)
FORBIDDEN = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "registry.example answered 403")

Sign = Callable[[Image], object]


def by_tag(image: Image) -> None:
    signer().sign_tag(image.store, REPOSITORY, image.digest)


def by_referrer(image: Image) -> None:
    signer().sign_referrer(image.store, REPOSITORY, image.digest)


def by_bundle(image: Image) -> None:
    signer().sign_bundle(image.store, REPOSITORY, image.digest)


def another_key(image: Image) -> None:
    signer("p256", 1).sign_tag(image.store, REPOSITORY, image.digest)


def another_keys_bundle(image: Image) -> None:
    signer("p256", 1).sign_bundle(image.store, REPOSITORY, image.digest)


def another_digest(image: Image) -> None:
    signer().sign_tag(image.store, REPOSITORY, image.digest, claim=OTHER)


def no_signature_text(image: Image) -> None:
    signer().sign_tag(image.store, REPOSITORY, image.digest, signature=None)


def garbage_payload(image: Image) -> None:
    signer().sign_tag(image.store, REPOSITORY, image.digest, payload=b"\xff{")


def another_type(image: Image) -> None:
    signer().sign_referrer(image.store, REPOSITORY, image.digest, type="something else")


def garbage_bundle(image: Image) -> None:
    signer().sign_bundle(image.store, REPOSITORY, image.digest, document=b'{"mediaType": 1}')


def unreadable_layer(image: Image) -> None:
    signer().sign_referrer(image.store, REPOSITORY, image.digest, layer={"size": -1})


def unreadable_bundle(image: Image) -> None:
    signer().sign_bundle(image.store, REPOSITORY, image.digest, layer={"digest": "sha512:00"})


def keyless_bundle(image: Image) -> None:
    signer().sign_bundle(image.store, REPOSITORY, image.digest, material={"certificate": {}})


def attestation(image: Image) -> None:
    signer().sign_bundle(image.store, REPOSITORY, image.digest, predicate_type="https://slsa.dev/provenance/v1")


def foreign_layer(image: Image) -> None:
    layer = {"mediaType": "application/vnd.dsse.envelope.v1+json"}
    signer().sign_bundle(image.store, REPOSITORY, image.digest, document=b"{}", layer=layer)


GOOD = [by_tag, by_referrer, by_bundle]
BAD: list[tuple[Sign, Reason]] = [
    (another_key, Reason.BAD_SIGNATURE),
    (another_keys_bundle, Reason.BAD_SIGNATURE),
    (another_digest, Reason.WRONG_DIGEST),
    (no_signature_text, Reason.MALFORMED),
    (garbage_payload, Reason.MALFORMED),
    (another_type, Reason.UNSUPPORTED),
    (garbage_bundle, Reason.MALFORMED),
    (unreadable_layer, Reason.MALFORMED),
    (unreadable_bundle, Reason.MALFORMED),
    (keyless_bundle, Reason.CERTIFICATE),
    (attestation, Reason.ATTESTATION),
]


def image_with(*signs: Sign) -> Image:
    image = Image.push()
    for sign in signs:
        sign(image)
    return image


def ask(
    image: Image,
    rule: Rule = RULE,
    *unreadable: UnavailableError,
    check: Check = PublicKey.verify,
    in_time: Callable[[], None] = lambda: None,
) -> Decision:
    evidence = Evidence(image.evidence().candidates, unreadable)
    return decide(image.reference, evidence, (rule,), NoMatch.DENY, NOW, check, in_time=in_time)


def results(decision: Decision) -> list[Reason]:
    return [candidate.reason for candidate in decision.candidates]


@pytest.mark.parametrize("sign", GOOD)
def test_one_good_signature_in_any_layout_verifies(sign: Sign) -> None:
    decision = ask(image_with(sign))
    assert decision.admits
    assert isinstance(decision.verdict, Verified)
    assert decision.verdict.signers == (Signer("release", authority(signer()).identity),)
    assert results(decision) == [Reason.VERIFIED]


@pytest.mark.parametrize(("sign", "reason"), BAD)
def test_a_bad_candidate_alone_denies_and_its_own_reason_is_recorded(sign: Sign, reason: Reason) -> None:
    decision = ask(image_with(sign))
    assert isinstance(decision.verdict, Denied)
    assert results(decision) == [reason]
    expected = Reason.NO_SIGNATURE if sign is attestation else Reason.UNTRUSTED
    assert decision.verdict.reason is expected


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize(("bad", "reason"), [*BAD, (foreign_layer, None)])
@pytest.mark.parametrize("bad_first", [True, False], ids=["before", "after"])
def test_a_bad_or_foreign_candidate_never_disables_a_good_one(
    good: Sign,
    bad: Sign,
    reason: Reason | None,
    bad_first: bool,
) -> None:
    decision = ask(image_with(bad, good) if bad_first else image_with(good, bad))
    assert isinstance(decision.verdict, Verified)
    assert set(results(decision)) == {Reason.VERIFIED} | ({reason} if reason else set())


def test_everything_bad_at_once_denies_and_one_good_signature_among_it_verifies() -> None:
    all_bad = [sign for sign, _ in BAD] + [foreign_layer]
    assert not ask(image_with(*all_bad)).admits
    assert ask(image_with(*all_bad, by_tag)).admits


@pytest.mark.parametrize(("no_match", "verdict"), [(NoMatch.DENY, Denied), (NoMatch.ALLOW, Exempt)])
def test_what_no_rule_is_about_needs_no_digest_and_is_what_the_policy_says(no_match: NoMatch, verdict: type) -> None:
    subject = Reference.parse("registry.example/acme/config:v1")
    decision = decide(subject, Evidence(), (), no_match, NOW)
    assert isinstance(decision.verdict, verdict)
    assert subject.label in decision.verdict.message
    assert (decision.rules, decision.subject) == ((), None)
    with pytest.raises(ValueError, match="digest"):
        decide(subject, Evidence(), (RULE,), no_match, NOW)


def test_a_rule_that_passes_is_told_by_its_name_and_mode() -> None:
    rule = Rule("by hand", RULE.match, Pass())
    (result,) = ask(Image.push(), rule).rules
    assert (result.name, result.mode, result.verdict.reason) == ("by hand", "enforce", Reason.STATIC_PASS)


def test_nothing_at_all_denies() -> None:
    decision = ask(Image.push())
    assert isinstance(decision.verdict, Denied)
    assert decision.verdict.reason is Reason.NO_SIGNATURE
    assert decision.candidates == ()


@pytest.mark.parametrize("signs", [[], [attestation], [attestation, attestation]], ids=len)
def test_attestations_alone_are_no_signatures(signs: Sequence[Sign]) -> None:
    decision = ask(image_with(*signs))
    assert decision.verdict.reason is Reason.NO_SIGNATURE
    assert decision.verdict.message.startswith("no signatures found")


def test_an_attestation_beside_a_bad_signature_does_not_hide_it() -> None:
    decision = ask(image_with(attestation, another_key))
    assert decision.verdict.reason is Reason.UNTRUSTED


def test_a_manifest_in_the_tag_that_holds_no_signature_at_all_is_no_signature() -> None:
    decision = ask(image_with(foreign_layer))
    assert decision.verdict.reason is Reason.NO_SIGNATURE


def test_the_digest_is_what_is_decided_on_never_the_tag() -> None:
    image = image_with(by_tag)
    tagged = Reference("registry.example", REPOSITORY, "v1", image.digest)
    decision = decide(tagged, image.evidence(), (RULE,), NoMatch.DENY, NOW)
    assert decision.subject == image.reference
    with pytest.raises(ValueError, match="a decision is about a digest"):
        decide(Reference("registry.example", REPOSITORY, "v1"), image.evidence(), (RULE,), NoMatch.DENY, NOW)


def test_the_same_evidence_for_another_digest_is_refused() -> None:
    image = image_with(by_tag, by_referrer, by_bundle)
    decision = decide(image.reference.at(OTHER), image.evidence(), (RULE,), NoMatch.DENY, NOW)
    assert not decision.admits
    assert set(results(decision)) == {Reason.WRONG_DIGEST}


# What could not be read


def test_what_one_place_proves_stands_whatever_could_not_be_read() -> None:
    assert isinstance(ask(image_with(by_tag), RULE, TIMEOUT, FORBIDDEN).verdict, Verified)


@pytest.mark.parametrize("sign", [None, another_key, attestation, garbage_bundle, another_digest])
@pytest.mark.parametrize("problem", [TIMEOUT, FORBIDDEN], ids=str)
def test_without_proof_anything_unreadable_makes_it_unavailable_never_denied(
    sign: Sign | None, problem: UnavailableError
) -> None:
    verdict = ask(image_with(*([sign] if sign else [])), RULE, problem).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is problem.reason
    assert verdict.outage is problem.outage
    assert problem.message in verdict.message


def test_what_there_was_no_time_to_judge_is_unknown_and_what_was_proved_before_stands() -> None:
    times: list[bool] = []

    def in_time() -> None:
        if not times.pop(0):
            raise UnavailableError(Reason.DEADLINE, "there was no time")

    times[:] = [False]
    verdict = ask(image_with(by_tag, by_bundle), in_time=in_time).verdict
    assert isinstance(verdict, Unavailable)
    assert (verdict.reason, verdict.outage) == (Reason.DEADLINE, False)
    times[:] = [True, False]
    decision = ask(image_with(by_tag, by_bundle), in_time=in_time)
    assert isinstance(decision.verdict, Verified)
    assert results(decision) == [Reason.VERIFIED]


class PanicException(BaseException):
    """As PyO3 has it: a panic in Rust is no Exception."""


@pytest.mark.parametrize("bug", [KeyError, PanicException, MemoryError])
def test_a_candidate_that_meets_a_bug_disables_no_other(bug: type[BaseException]) -> None:
    bugs = [bug("a surprise")]

    def check(key: PublicKey, signature: bytes, message: Signed) -> None:
        if bugs:
            raise bugs.pop()
        key.verify(signature, message)

    decision = ask(image_with(by_tag, by_bundle), check=check)
    assert isinstance(decision.verdict, Verified)
    assert results(decision) == [Reason.MALFORMED, Reason.VERIFIED]
    message = f"gate cannot judge this signature, which is a bug in gate ({bug.__name__})"
    assert decision.candidates[0].message == message


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_who_ends_the_process_is_no_bug(end: type[BaseException]) -> None:
    def check(_key: PublicKey, _signature: bytes, _message: Signed) -> None:
        raise end

    with pytest.raises(end):
        ask(image_with(by_tag), check=check)


def test_it_is_an_outage_only_if_every_problem_is_one() -> None:
    for problems in permutations([TIMEOUT, TIMEOUT, FORBIDDEN]):
        verdict = ask(Image.push(), RULE, *problems).verdict
        assert isinstance(verdict, Unavailable)
        assert not verdict.outage
        assert verdict.reason is Reason.REGISTRY_UNAUTHORIZED


def test_too_few_signers_with_something_unreadable_is_unavailable() -> None:
    rule = rule_for(Signatures((authority(signer(), "a"), authority(signer("p256", 1), "b")), 2))
    assert isinstance(ask(image_with(by_tag), rule, TIMEOUT).verdict, Unavailable)


# k of n

KEYS = [signer("p256", number) for number in range(4)]


def of(count: int, *keys: Key) -> Rule:
    return rule_for(Signatures(tuple(authority(key, f"key-{KEYS.index(key)}") for key in keys), count))


def signed_by(*keys: Key) -> Image:
    image = Image.push()
    for key in keys:
        key.sign_tag(image.store, REPOSITORY, image.digest)
    return image


@pytest.mark.parametrize(
    ("count", "trusted", "signing", "satisfied"),
    [
        (1, [0, 1], [1], True),
        (2, [0, 1], [0, 1], True),
        (2, [0, 1], [1, 0], True),
        (2, [0, 1], [0], False),
        (2, [0, 1], [0, 0, 0], False),  # one key, however often it signs
        (2, [0, 1], [0, 2, 3], False),
        (2, [0, 1, 2], [2, 0], True),
        (3, [0, 1, 2], [2, 0], False),
        (3, [0, 1, 2], [3, 2, 1, 0], True),
    ],
)
def test_a_count_is_of_distinct_signers_of_the_rule(
    count: int,
    trusted: list[int],
    signing: list[int],
    satisfied: bool,
) -> None:
    decision = ask(signed_by(*(KEYS[number] for number in signing)), of(count, *(KEYS[number] for number in trusted)))
    assert decision.admits is satisfied
    if not satisfied:
        assert decision.verdict.reason is Reason.NOT_ENOUGH_SIGNERS


def test_one_key_in_three_layouts_is_one_signer() -> None:
    decision = ask(image_with(by_tag, by_referrer, by_bundle), of(2, KEYS[0], KEYS[1]))
    assert decision.verdict.reason is Reason.NOT_ENOUGH_SIGNERS


def test_two_keys_in_two_layouts_are_two_signers() -> None:
    image = image_with(another_keys_bundle, by_tag)
    verdict = ask(image, of(2, KEYS[0], KEYS[1])).verdict
    assert isinstance(verdict, Verified)
    assert [found.authority for found in verdict.signers] == ["key-0", "key-1"]
    assert verdict.message.endswith(' by "key-0", "key-1"')


def test_nobody_of_several_is_untrusted_not_too_few() -> None:
    assert ask(signed_by(KEYS[3]), of(2, KEYS[0], KEYS[1])).verdict.reason is Reason.UNTRUSTED


def best_by_trying_everything(accepted: dict[str, list[Signer]]) -> int:
    def most(authorities: list[str], taken: frozenset[str]) -> int:
        if not authorities:
            return 0
        first, *rest = authorities
        ways = (1 + most(rest, taken | {s.identity}) for s in accepted[first] if s.identity not in taken)
        return max([most(rest, taken), *ways])

    return most(list(accepted), frozenset())


who_accepts_whom = st.dictionaries(st.sampled_from("ABCDE"), st.lists(st.sampled_from("12345"), max_size=4), max_size=5)


@given(who_accepts_whom)
def test_the_matching_of_authorities_to_signers_is_the_largest_there_is(table: dict[str, list[str]]) -> None:
    accepted = {name: [Signer(name, identity) for identity in found] for name, found in table.items()}
    matched = match_distinct(accepted)
    assert len(matched) == best_by_trying_everything(accepted)
    assert len({found.identity for found in matched}) == len(matched)
    assert len({found.authority for found in matched}) == len(matched)
    assert all(found in accepted[found.authority] for found in matched)
    assert [found.authority for found in matched] == [
        name for name in accepted if name in {m.authority for m in matched}
    ]


def test_a_signer_that_two_authorities_accept_is_given_to_the_one_that_has_nobody_else() -> None:
    one, two = "one", "two"
    accepted = {"a": [Signer("a", one), Signer("a", two)], "b": [Signer("b", one)]}
    assert match_distinct(accepted) == (Signer("a", two), Signer("b", one))


# Records


def test_the_order_of_the_candidates_changes_neither_verdict_nor_message() -> None:
    image = image_with(another_key, another_digest, garbage_bundle, attestation, keyless_bundle)
    found = image.evidence().candidates
    messages = {
        decide(image.reference, Evidence(order), (RULE,), NoMatch.DENY, NOW).verdict.message
        for order in permutations(found)
    }
    assert len(messages) == 1


def test_the_order_of_what_could_not_be_read_changes_neither_verdict_nor_message() -> None:
    limit = UnavailableError(Reason.LIMIT, "65 referrers are listed, more than 64")
    elsewhere = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "another host answered 401")
    messages = {
        ask(Image.push(), RULE, *order).verdict.message
        for order in permutations([TIMEOUT, FORBIDDEN, elsewhere, limit])
    }
    assert len(messages) == 1


def test_two_refusals_at_one_place_are_told_in_one_order() -> None:
    refused = [RefusedCandidate("a", "here", Reason.MALFORMED, "m"), RefusedCandidate("b", "here", Reason.LIMIT, "l")]
    image = Image.push()
    messages = {
        decide(image.reference, Evidence(order), (RULE,), NoMatch.DENY, NOW).verdict.message
        for order in permutations(refused)
    }
    assert len(messages) == 1


def test_of_two_refusals_the_one_that_says_more_than_another_key_is_recorded() -> None:
    image = image_with(another_digest)
    decision = ask(image, of(1, KEYS[1], KEYS[0]))
    assert results(decision) == [Reason.WRONG_DIGEST]


def test_a_certificate_says_less_than_a_wrong_digest_and_more_than_a_bad_signature() -> None:
    decision = ask(image_with(keyless_bundle), of(1, KEYS[1], KEYS[0]))
    assert results(decision) == [Reason.CERTIFICATE]


def test_a_refused_candidate_keeps_its_place_and_message() -> None:
    refused = RefusedCandidate("unknown", "referrer x", Reason.MALFORMED, "the document is not valid JSON")
    image = Image.push()
    decision = decide(image.reference, Evidence((refused,)), (RULE,), NoMatch.DENY, NOW)
    (found,) = decision.candidates
    assert (found.format, found.location, found.reason, found.message) == (
        "unknown",
        "referrer x",
        Reason.MALFORMED,
        "the document is not valid JSON",
    )
    assert found.signer is None
