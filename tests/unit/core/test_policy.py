"""Which rules are about a question, and which requirements can be written down at all."""

from __future__ import annotations

import pytest

from gate.core.errors import ConfigError
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    Match,
    Mode,
    NoMatch,
    Pass,
    Policy,
    Rule,
    Signatures,
    SourceChoice,
    Sources,
    single_key_policy,
)
from tests.fakes.signing import authority, signer

IMAGE = Reference.parse("reg.io/team/config")
DIGEST = Digest.of(b"x")
SOURCES = Sources(SourceChoice.DENY, SourceChoice.DENY)
NAMESPACE_LESS = Context("RootSync", None, "prod")
TENANT = Context("RepoSync", "team-a", "repo-sync")


def globs(*texts: str) -> tuple[ImageGlob, ...]:
    return tuple(map(ImageGlob.parse, texts))


@pytest.mark.parametrize(
    ("match", "context", "matches"),
    [
        (Match(globs("reg.io/**")), Context(), True),
        (Match(globs("other.io/**")), Context(), False),
        (Match(globs("other.io/**", "reg.io/team/*")), Context(), True),
        (Match(()), Context(), False),
        (Match(globs("**"), kinds=("RepoSync",)), TENANT, True),
        (Match(globs("**"), kinds=("RootSync", "RepoSync")), TENANT, True),
        (Match(globs("**"), kinds=("RootSync",)), TENANT, False),
        (Match(globs("**"), kinds=("RootSync",)), Context(), False),
        (Match(globs("**"), namespaces=("team-*",)), TENANT, True),
        (Match(globs("**"), namespaces=("other", "team-a")), TENANT, True),
        (Match(globs("**"), namespaces=("team",)), TENANT, False),
        (Match(globs("**"), namespaces=("*",)), NAMESPACE_LESS, False),
        (Match(globs("**"), names=("repo-*",)), TENANT, True),
        (Match(globs("**"), names=("prod",)), TENANT, False),
        (Match(globs("**"), names=("*",)), Context(), False),
        (Match(globs("other.io/**"), kinds=("RepoSync",)), TENANT, False),  # all that is given must match
    ],
)
def test_a_rule_is_about_a_question_when_all_that_it_gives_matches(
    match: Match, context: Context, matches: bool
) -> None:
    assert match.matches(IMAGE, context) is matches


def test_a_rule_with_digests_is_about_those_alone_and_about_none_that_is_not_known() -> None:
    match = Match(globs("**"), digests=(DIGEST, Digest.of(b"y")))
    assert match.matches(IMAGE.at(DIGEST), Context())
    assert not match.matches(IMAGE.at(Digest.of(b"z")), Context())
    assert not match.matches(IMAGE, Context())


def test_a_rule_with_digests_may_be_about_a_digest_that_is_not_known_yet() -> None:
    rules = tuple(Rule(name, Match(globs(images), digests=(DIGEST,)), Fail()) for name, images in (("a", "reg.io/**"),))
    policy = Policy(NoMatch.DENY, SOURCES, rules)
    assert policy.may_match(IMAGE, TENANT)
    assert not policy.matching(IMAGE, TENANT)
    assert not policy.may_match(Reference.parse("other.io/team/config"), TENANT)


def test_an_empty_list_of_authorities_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^no authority is named$"):
        Signatures((), 0)


def test_two_authorities_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^two authorities have the same name$"):
        Signatures((authority(signer(), "a"), authority(signer("p256", 1), "a")))


def test_the_same_key_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^two authorities have the same key$"):
        Signatures((authority(signer(), "a"), authority(signer(), "b")))


@pytest.mark.parametrize("count", [-1, 0, 3])
def test_a_count_that_admits_everything_or_nothing_is_refused(count: int) -> None:
    pair = (authority(signer(), "a"), authority(signer("p256", 1), "b"))
    with pytest.raises(ConfigError, match=f"^the count is {count}, and there are 2 authorities$"):
        Signatures(pair, count)


@pytest.mark.parametrize("count", [1, 2])
def test_every_count_up_to_the_number_of_authorities_can_be_asked_for(count: int) -> None:
    assert Signatures((authority(signer(), "a"), authority(signer("p256", 1), "b")), count).count == count


def test_rules_are_returned_in_the_order_of_the_policy() -> None:
    rules = tuple(
        Rule(name, Match(globs(glob)), Pass()) for name, glob in [("b", "**"), ("x", "other.io/a"), ("a", "**")]
    )
    policy = Policy(NoMatch.DENY, SOURCES, rules)
    assert [rule.name for rule in policy.matching(IMAGE, Context())] == ["b", "a"]


@pytest.mark.parametrize(
    ("mode", "no_match", "covered"),
    [
        (Mode.ENFORCE, NoMatch.DENY, True),
        (Mode.WARN, NoMatch.DENY, True),
        (Mode.AUDIT, NoMatch.DENY, False),
        (None, NoMatch.DENY, False),
        (None, NoMatch.WARN, True),
        (None, NoMatch.ALLOW, True),
        (Mode.AUDIT, NoMatch.ALLOW, True),
    ],
)
def test_an_image_is_covered_by_a_rule_that_acts_or_by_no_match(
    mode: Mode | None, no_match: NoMatch, covered: bool
) -> None:
    rules = () if mode is None else (Rule("r", Match(globs("**")), Fail(), mode),)
    elsewhere = Rule("elsewhere", Match(globs("other.io/**")), Fail())
    assert Policy(no_match, SOURCES, (elsewhere, *rules)).covers(IMAGE, Context()) is covered


def test_the_hosts_that_an_operator_named_are_those_written_out() -> None:
    texts = ("reg.io/**", "*.wild.io/**", "**", "REG.io:443/x", "other.io:5000/a")
    rules = (Rule("a", Match(globs(*texts)), Pass()), Rule("b", Match(globs("third.io/*")), Fail()))
    assert Policy(NoMatch.DENY, SOURCES, rules).literal_hosts == {"reg.io", "other.io:5000", "third.io"}


def test_the_policy_of_a_single_key_asks_for_it_everywhere() -> None:
    vouching = authority(signer())
    policy = single_key_policy(vouching)
    assert policy.no_match is NoMatch.DENY
    (rule,) = policy.matching(IMAGE, TENANT)
    assert rule.requirement == Signatures((vouching,))
    assert (rule.name, rule.mode) == ("every-image", Mode.ENFORCE)
    assert policy.literal_hosts == frozenset()
    assert policy.sources == Sources(git=SourceChoice.ALLOW, helm_http=SourceChoice.ALLOW)
