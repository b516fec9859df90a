"""How many must sign, who must be among them, and for which repository."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from gate.core.distinct import match_distinct
from gate.core.errors import ConfigError, UnavailableError
from gate.core.policy import MatchReference, NoMatch, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence
from gate.core.verdict import Decision, Denied, Signer, Unavailable, Verified
from gate.core.verify import decide
from gate.demo.signer import TagSigning
from tests.fakes.signing import NOW, REGISTRY, REPOSITORY, Image, authority, rule_for, signer

NAMES = "abc"
KEYS = {name: signer("p256", number) for number, name in enumerate(NAMES)}
AUTHORITIES = tuple(authority(KEYS[name], name) for name in NAMES)


def wanting(count: int, *needed: str) -> Rule:
    return rule_for(Signatures(AUTHORITIES, count, needed))


def signed(by: str) -> Image:
    image = Image.push()
    for name in by:
        KEYS[name].sign_tag(image.store, REPOSITORY, image.digest)
    return image


# all


@pytest.mark.parametrize(
    ("needed", "by", "reason"),
    [
        ("a", "a", Reason.VERIFIED),
        ("a", "bc", Reason.NOT_ENOUGH_SIGNERS),
        ("ab", "ab", Reason.VERIFIED),
        ("ab", "ba", Reason.VERIFIED),
        ("ab", "abc", Reason.VERIFIED),
        ("ab", "ac", Reason.NOT_ENOUGH_SIGNERS),
        ("ab", "c", Reason.NOT_ENOUGH_SIGNERS),
        ("abc", "abc", Reason.VERIFIED),
        ("abc", "ab", Reason.NOT_ENOUGH_SIGNERS),
        ("ab", "", Reason.NO_SIGNATURE),
    ],
)
def test_every_authority_that_is_named_must_sign(needed: str, by: str, reason: Reason) -> None:
    verdict = signed(by).decide(wanting(len(needed), *needed)).verdict
    assert verdict.reason is reason
    assert isinstance(verdict, Verified if reason is Reason.VERIFIED else Denied)


def test_who_is_missing_is_told_by_name() -> None:
    image = signed("c")
    assert image.decide(wanting(2, "b", "a")).verdict.message == (
        f'not-enough-signers: rule "release" wants signatures of "b", "a" for {image.reference}, each by a signer of'
        " its own, and has them not; add the missing signatures to this digest"
    )


def test_a_name_that_is_needed_counts_although_others_are_enough_in_number() -> None:
    assert not signed("ab").decide(wanting(1, "c")).admits
    assert not signed("c").decide(wanting(2, "c")).admits
    assert signed("bc").decide(wanting(2, "c")).admits


def test_a_missing_name_with_something_unreadable_is_unavailable() -> None:
    found = Evidence(signed("a").evidence().candidates, (UnavailableError(Reason.LIMIT, "too many"),))
    image = signed("a")
    verdict = decide(image.reference, found, (wanting(2, "a", "b"),), NoMatch.DENY, NOW).verdict
    assert isinstance(verdict, Unavailable)


def test_a_signer_whom_two_accept_goes_to_the_one_that_is_needed() -> None:
    accepted = {"a": [Signer("a", "jane")], "b": [Signer("b", "jane")]}
    assert match_distinct(accepted, first=["b"]) == (Signer("b", "jane"),)
    assert match_distinct(accepted, first=["a"]) == (Signer("a", "jane"),)
    both = {"a": [Signer("a", "jane"), Signer("a", "joe")], "b": [Signer("b", "jane")]}
    assert len(match_distinct(both, first=["a"])) == 2


@dataclass(frozen=True, slots=True)
class AcceptsJane:
    """An authority that accepts every signature, as Jane's."""

    name: str

    def verify(self, *_: object) -> Signer:
        return Signer(self.name, "jane")


def test_a_rule_gives_a_signer_whom_two_accept_to_the_one_that_it_names() -> None:
    image = signed("a")
    anybody, named = AcceptsJane("anybody"), AcceptsJane("named")
    requirement = Signatures((anybody, named), 1, ("named",))  # type: ignore[arg-type]  # what is needed of them
    verdict = image.decide(rule_for(requirement)).verdict
    assert isinstance(verdict, Verified)
    assert verdict.signers == (Signer("named", "jane"),)
    both = Signatures((anybody, named), 2)  # type: ignore[arg-type]  # what is needed of them
    assert image.decide(rule_for(both)).verdict.reason is Reason.NOT_ENOUGH_SIGNERS


def test_a_name_that_no_authority_has_cannot_be_needed() -> None:
    with pytest.raises(ConfigError, match=r"^an authority is needed that the rule does not name$"):
        Signatures(AUTHORITIES, 1, ("d",))


# matchReference


def ask(mode: MatchReference, **changes: str) -> Decision:
    image = Image.push()
    signing: TagSigning = {"reference": changes["reference"]} if changes else {}
    KEYS["a"].sign_tag(image.store, REPOSITORY, image.digest, **signing)
    return image.decide(replace(rule_for(KEYS["a"]), match_reference=mode))


@pytest.mark.parametrize(
    ("named", "same"),
    [
        (f"{REGISTRY}/{REPOSITORY}", True),
        (f"{REGISTRY.upper()}:443/{REPOSITORY}", True),  # references are canonical before they are compared
        (f"{REGISTRY}/{REPOSITORY}:v1", True),
        (f"{REGISTRY}/{REPOSITORY}-2", False),
        (f"{REGISTRY}/team", False),
        (f"other.example/{REPOSITORY}", False),
        (f"{REGISTRY}:5000/{REPOSITORY}", False),
        ("not a reference", False),
    ],
)
def test_the_repository_that_a_payload_names_is_compared_where_the_rule_says_so(named: str, same: bool) -> None:
    assert ask(MatchReference.IGNORE, reference=named).admits
    decision = ask(MatchReference.REPOSITORY, reference=named)
    assert decision.admits is same
    (candidate,) = decision.candidates
    assert candidate.reason is (Reason.VERIFIED if same else Reason.REFERENCE)
    if not same:
        assert candidate.message == f'the signature is valid, but it names the repository "{named}"'
        assert decision.verdict.reason is Reason.UNTRUSTED


def test_a_payload_that_names_no_repository_is_not_compared() -> None:
    image = Image.push()
    KEYS["a"].sign_bundle(image.store, REPOSITORY, image.digest)
    assert image.decide(replace(rule_for(KEYS["a"]), match_reference=MatchReference.REPOSITORY)).admits


def test_a_signature_for_another_repository_does_not_disable_one_for_this() -> None:
    image = Image.push()
    for reference in ("other.example/a", f"{REGISTRY}/{REPOSITORY}"):
        KEYS["a"].sign_tag(image.store, REPOSITORY, image.digest, reference=reference)
    assert image.decide(replace(rule_for(KEYS["a"]), match_reference=MatchReference.REPOSITORY)).admits


def test_a_forged_payload_is_a_bad_signature_whatever_repository_it_names() -> None:
    image = Image.push()
    KEYS["b"].sign_tag(image.store, REPOSITORY, image.digest, reference="other.example/a")
    decision = image.decide(replace(rule_for(KEYS["a"]), match_reference=MatchReference.REPOSITORY))
    assert [found.reason for found in decision.candidates] == [Reason.BAD_SIGNATURE]
