"""Which hosts gate contacts for whom, asked as a review asks, counted in connections.

127.0.0.1 is a private address here, 127.0.0.2 stands for a public one and 127.0.0.3 for a metadata server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gate.core.authorities import KeyAuthority
from gate.core.deadline import Deadline
from gate.core.globs import ImageGlob
from gate.core.keys import parse_public_key
from gate.core.oci import Reference
from gate.core.policy import Context, Fail, Match, NoMatch, Pass, Policy, Rule, Signatures, SourceChoice, Sources
from gate.core.reasons import Reason
from gate.core.subjects import Image
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verified
from gate.registry.addresses import AddressClass
from gate.registry.credentials import Anonymous
from gate.registry.entries import RegistryEntry
from gate.registry.exchange import Patience
from gate.registry.registries import Registries, Surroundings
from tests.fakes.hostile import Authority, Hostile, Scripted, challenge, redirect
from tests.integration.registry.conftest import METADATA, PUBLIC, REPOSITORY, Asker, classify, within
from tests.integration.registry.scene import SIGNER, gate_over, published

DIGEST, ANSWER = published()
SIGNED = Signatures((KeyAuthority("release", parse_public_key(SIGNER.public_pem)),))
TEAM = Context("RepoSync", "team-a", "app")


Named = Callable[[Hostile], str]


def policy(images: str, *, no_match: NoMatch = NoMatch.DENY, **match: object) -> Policy:
    rule = Rule("r", Match((ImageGlob.parse(images),), **match), SIGNED)  # type: ignore[arg-type]  # a table's columns
    return Policy(no_match, Sources(SourceChoice.ALLOW, SourceChoice.ALLOW), (rule,))


def ask(registries: Registries, rules: Policy, image: str) -> Decision:
    with gate_over(registries) as gate:
        return gate.decide(rules, Image(Reference.parse(image)), TEAM, within())


def pinned(server: Hostile) -> str:
    return f"{server.host}/{REPOSITORY}@{DIGEST}"


def tagged(server: Hostile) -> str:
    return f"{server.host}/{REPOSITORY}:v1"


@pytest.fixture
def everywhere(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every certificate of the tests be good, so that addresses alone decide."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


@contextmanager
def at(address: str, authority: Authority, answer: Scripted = ANSWER) -> Iterator[Hostile]:
    with Hostile(address, tls=authority.server, otherwise=answer) as server:
        yield server


@pytest.mark.usefixtures("everywhere")
class TestATenantsHost:
    @pytest.mark.parametrize("image", [pinned, tagged])
    @pytest.mark.parametrize(
        "rules",
        [
            policy("other.example/**"),
            policy(f"{PUBLIC}:1/**"),
            policy("**", kinds=("RootSync",)),
            policy("**", namespaces=("team-b",)),
            policy("**", names=("other",)),
        ],
    )
    def test_is_not_contacted_when_no_rule_matches(
        self, asker: Asker, public: Hostile, rules: Policy, image: Named
    ) -> None:
        verdict = ask(asker.registries(), rules, image(public)).verdict
        assert isinstance(verdict, Denied)
        assert verdict.reason is Reason.NO_RULE
        assert public.connections == 0

    @pytest.mark.parametrize("no_match", [NoMatch.WARN, NoMatch.ALLOW])
    def test_is_not_contacted_when_what_no_rule_matches_is_admitted(
        self, asker: Asker, public: Hostile, no_match: NoMatch
    ) -> None:
        for image in (pinned(public), tagged(public)):
            verdict = ask(asker.registries(), policy("other.example/**", no_match=no_match), image).verdict
            assert isinstance(verdict, Exempt)
        assert public.connections == 0

    @pytest.mark.parametrize("requirement", [Pass(), Fail()])
    def test_is_not_contacted_by_a_rule_that_wants_no_signature(
        self, asker: Asker, public: Hostile, requirement: Pass | Fail
    ) -> None:
        rules = Policy(
            NoMatch.DENY,
            Sources(SourceChoice.ALLOW, SourceChoice.ALLOW),
            (Rule("r", Match((ImageGlob.parse("**"),)), requirement),),
        )
        ask(asker.registries(), rules, pinned(public))
        assert public.connections == 0

    @pytest.mark.parametrize("image", [pinned, tagged])
    def test_is_contacted_at_a_public_address_when_a_rule_matches(
        self, asker: Asker, authority: Authority, image: Named
    ) -> None:
        with at(PUBLIC, authority) as server:
            assert isinstance(ask(asker.registries(), policy("**"), image(server)).verdict, Verified)

    def test_is_contacted_to_learn_a_digest_that_a_rule_asks_about(self, asker: Asker, authority: Authority) -> None:
        with at(PUBLIC, authority) as server:
            rules = policy("**", digests=(DIGEST,))
            assert isinstance(ask(asker.registries(), rules, tagged(server)).verdict, Verified)

    @pytest.mark.parametrize("address", ["127.0.0.1", METADATA])
    @pytest.mark.parametrize("image", [pinned, tagged])
    def test_is_not_contacted_at_any_other_address(
        self, asker: Asker, authority: Authority, address: str, image: Named
    ) -> None:
        with at(address, authority) as server:
            verdict = ask(asker.registries(), policy("**"), image(server)).verdict
            assert isinstance(verdict, Unavailable)
            assert (verdict.reason, verdict.outage) == (Reason.REGISTRY_ADDRESS, False)
            assert server.connections == 0


@pytest.mark.usefixtures("everywhere")
class TestAnOperatorsHost:
    def test_may_be_private_when_the_policy_writes_it_down(self, asker: Asker, authority: Authority) -> None:
        with at("127.0.0.1", authority) as server:
            assert isinstance(ask(asker.registries(), policy(f"{server.host}/**"), pinned(server)).verdict, Verified)

    def test_may_be_private_when_it_is_listed(self, asker: Asker, authority: Authority) -> None:
        with at("127.0.0.1", authority) as server:
            registries = asker.registries(RegistryEntry(server.host, authority.ca_file))
            assert isinstance(ask(registries, policy("**"), pinned(server)).verdict, Verified)

    def test_is_no_tenants_host_on_another_port(self, asker: Asker, authority: Authority) -> None:
        with at("127.0.0.1", authority) as listed, at("127.0.0.1", authority) as other:
            registries = asker.registries(RegistryEntry(listed.host, authority.ca_file))
            verdict = ask(registries, policy("**"), pinned(other)).verdict
            assert (verdict.reason, other.connections) == (Reason.REGISTRY_ADDRESS, 0)

    def test_may_never_be_a_metadata_server(self, asker: Asker, authority: Authority) -> None:
        with at(METADATA, authority) as server:
            registries = asker.registries(RegistryEntry(server.host, authority.ca_file, allow_private=True))
            for rules in (policy("**"), policy(f"{server.host}/**")):
                assert ask(registries, rules, pinned(server)).verdict.reason is Reason.REGISTRY_ADDRESS
            assert server.connections == 0


@pytest.mark.usefixtures("everywhere")
class TestAServersHost:
    """A listed registry at a private address points elsewhere."""

    @pytest.mark.parametrize("kind", ["redirect", "realm"])
    @pytest.mark.parametrize(("address", "allow_private"), [("127.0.0.5", False), (METADATA, False), (METADATA, True)])
    def test_may_not_be_private_and_never_a_metadata_server(
        self, asker: Asker, authority: Authority, kind: str, address: str, allow_private: bool
    ) -> None:
        with Hostile(address, tls=authority.server) as target:
            url = f"{target.url}/token"
            points = redirect(url) if kind == "redirect" else challenge(f'Bearer realm="{url}"')
            with at("127.0.0.1", authority, points) as server:
                entry = RegistryEntry(server.host, authority.ca_file, allow_private=allow_private)
                verdict = ask(asker.registries(entry), policy("**"), pinned(server)).verdict
                assert isinstance(verdict, Unavailable)
                assert (verdict.reason, verdict.outage) == (Reason.REGISTRY_ADDRESS, False)
                assert target.connections == 0

    def test_is_not_trusted_more_for_being_named_by_a_tenants_registry(
        self, asker: Asker, authority: Authority, secure: Hostile
    ) -> None:
        with at(PUBLIC, authority, redirect(f"{secure.url}/x")) as server:
            verdict = ask(asker.registries(), policy("**"), pinned(server)).verdict
            assert (verdict.reason, secure.connections) == (Reason.REGISTRY_ADDRESS, 0)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("becomes", [AddressClass.PRIVATE, AddressClass.NEVER])
def test_a_name_that_changes_its_mind_after_the_lookup_is_sent_nothing(
    asker: Asker, authority: Authority, becomes: AddressClass
) -> None:
    # What is judged a second time is the address of the connection itself, before the first byte.
    answers = iter([AddressClass.PUBLIC])
    surroundings = Surroundings(lambda: 0.0, Patience(asker.slept.append, min), lambda _: next(answers, becomes))
    registries = Registries([], lambda _: Anonymous(), surroundings)
    with at("127.0.0.1", authority) as server:
        client = registries.client(server.host, named_by_operator=False)
        reference = Reference.parse(tagged(server))
        with gate_over(registries) as gate:
            verdict = gate.decide(policy("**"), Image(reference), TEAM, Deadline(8.0, lambda: 0.0)).verdict
        assert (verdict.reason, server.seen) == (Reason.REGISTRY_ADDRESS, [])
        client.close()


def test_the_stand_ins_are_what_the_tests_say() -> None:
    assert classify("127.0.0.5") is AddressClass.PRIVATE
