"""The policy while gate runs: what is taken, what is not, and what an operator hears of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.core.oci import Digest
from gate.core.policy import Policy, Signatures
from gate.demo.signer import Signer
from gate.trust.policyfile import load_policy
from gate.trust.publicgood import PublicGood, Trusted
from gate.trust.reload import AGAIN_SECONDS, PolicySet
from gate.trust.roots import Roots
from tests.fakes.mount import Mount
from tests.fakes.sigstore.box import Sigstore
from tests.unit.trust.test_reading import trusted

KEY, NEXT = Signer.generate().public_pem, Signer.generate().public_pem


def document(name: str) -> bytes:
    return (
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\nsources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        f'rules: [{{name: {name}, match: {{images: ["**"]}}, authorities: [{{name: a, key: {{file: key.pub}}}}]}}]\n'
    ).encode()


@dataclass
class Fresh(PublicGood):
    """Sigstore's root as a test wants it."""

    trusted: Trusted = field(default_factory=trusted)
    kept_fresh: int = 0

    def current(self) -> Trusted:
        return self.trusted

    def keep_fresh(self) -> None:
        self.kept_fresh += 1

    def status(self) -> str:
        return "Sigstore's trust root is a fake"


@dataclass
class Setup:
    mount: Mount
    good: Fresh = field(default_factory=Fresh)
    now: float = 0.0
    broken: Exception | None = None
    names_sigstore: bool = False
    reads: int = 0
    asked: int = 0  # for Sigstore's root
    policies: PolicySet = field(init=False)

    def __post_init__(self) -> None:
        self.mount.update({"policy.yaml": document("one"), "key.pub": KEY})

    def start(self, *, watching: bool = False) -> None:
        self.policies = PolicySet(self.load, self.public_good, lambda: self.now)
        if not watching:
            self.policies.close()

    def load(self, roots: Roots) -> Policy:
        self.reads += 1
        if self.broken is not None:
            raise self.broken
        if self.names_sigstore:
            roots.sigstore()
        return load_policy(self.mount.path / "policy.yaml", roots)

    def public_good(self) -> PublicGood:
        self.asked += 1
        return self.good

    def look(self) -> str | None:
        self.policies.look()
        return self.policies.problem()

    @property
    def rule(self) -> str:
        (rule,) = self.policies.policy().rules
        return rule.name


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(Mount(tmp_path / "mount"))


@pytest.fixture
def running(setup: Setup) -> Setup:
    setup.start()
    return setup


def test_a_set_that_is_wrong_at_the_start_stops_it(setup: Setup) -> None:
    setup.mount.update({"policy.yaml": document("one")})
    with pytest.raises(ConfigError, match=r"key.pub.* cannot be read: No such file"):
        setup.start()


def test_a_changed_policy_is_taken(running: Setup) -> None:
    running.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    assert running.look() is None
    assert running.rule == "two"


def test_a_changed_key_is_taken(running: Setup) -> None:
    before = running.policies.policy()
    running.mount.update({"policy.yaml": document("one"), "key.pub": NEXT})
    running.look()
    assert running.policies.policy() != before


def keyless(root: bytes) -> dict[str, bytes]:
    """Return the files of a policy whose trust root is one of them."""
    authority = "{name: a, trustRoot: {file: root.json}, keyless: {identities: [{issuer: https://i, subject: s}]}}"
    policy = document("one").replace(b"{name: a, key: {file: key.pub}}", authority.encode())
    return {"policy.yaml": policy, "root.json": root}


def trust_root(setup: Setup) -> Digest:
    (rule,) = setup.policies.policy().rules
    assert isinstance(rule.requirement, Signatures)
    (authority,) = rule.requirement.authorities
    assert authority.root is not None
    return authority.root.digest


def test_a_changed_trust_root_is_taken(setup: Setup) -> None:
    first, second = Sigstore.create().trusted_root(), Sigstore.create(name="other").trusted_root()
    setup.mount.update(keyless(first))
    setup.start()
    assert trust_root(setup) == Digest.of(first)
    setup.mount.update(keyless(second))
    assert setup.look() is None
    assert trust_root(setup) == Digest.of(second)


def test_a_trust_root_that_is_none_leaves_the_one_before_in_force_and_is_told(setup: Setup) -> None:
    first = Sigstore.create().trusted_root()
    setup.mount.update(keyless(first))
    setup.start()
    setup.mount.update(keyless(b"{}"))
    assert "cannot be used: mediaType" in str(setup.look())
    assert trust_root(setup) == Digest.of(first)


def test_files_that_have_not_changed_are_not_read(running: Setup) -> None:
    before = running.policies.policy()
    running.look()
    running.now += 10 * AGAIN_SECONDS
    running.look()
    assert running.reads == 1
    assert running.policies.policy() is before


WRONG: dict[str, tuple[dict[str, bytes], str]] = {
    "emptied": ({"policy.yaml": b"", "key.pub": KEY}, "policy.yaml"),
    "not yaml": ({"policy.yaml": b"rules: [", "key.pub": KEY}, "policy.yaml"),
    "unknown field": ({"policy.yaml": document("two") + b"colour: red\n", "key.pub": KEY}, "colour: is not a field"),
    "vanished": ({"key.pub": KEY}, "/policy.yaml' cannot be read: No such file"),
    "key emptied": ({"policy.yaml": document("two"), "key.pub": b""}, "/key.pub' cannot be used"),
    "key vanished": ({"policy.yaml": document("two")}, "/key.pub' cannot be read: No such file"),
    "all vanished": ({}, "/policy.yaml' cannot be read: No such file"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_set_that_is_wrong_leaves_the_one_before_in_force_and_is_told(running: Setup, wrong: str) -> None:
    before = running.policies.policy()
    files, why = WRONG[wrong]
    running.mount.update(files)
    problem = running.look()
    assert problem is not None
    assert problem.startswith("the policy is wrong and the one before stays in force: ")
    assert why in problem.replace('"', "'")
    assert "\n" not in problem
    assert running.policies.policy() is before


def test_what_was_wrong_is_forgotten_when_it_is_right_again(running: Setup) -> None:
    running.mount.update({})
    running.look()
    running.mount.update({"policy.yaml": document("three"), "key.pub": KEY})
    assert running.look() is None
    assert running.rule == "three"


def test_a_set_that_is_wrong_is_not_read_again_at_every_look(running: Setup) -> None:
    running.mount.update({})
    for _ in range(5):
        running.look()
    assert running.reads == 2


def test_a_set_that_is_wrong_is_read_again_after_a_while_though_no_file_has_changed(running: Setup) -> None:
    running.broken = ConfigError("the disk has failed")
    running.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    running.look()
    running.broken = None
    running.now += AGAIN_SECONDS - 1
    assert running.look() is not None
    running.now += 1
    assert running.look() is None
    assert running.rule == "two"


def test_the_same_mistake_is_logged_once(running: Setup, caplog: pytest.LogCaptureFixture) -> None:
    running.mount.update({})
    with caplog.at_level(logging.INFO, "gate.policy"):
        for _ in range(3):
            running.look()
            running.now += AGAIN_SECONDS
        running.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
        running.look()
    assert caplog.messages == ["the policy was not reloaded", "the policy was reloaded"]


def test_a_policy_without_sigstores_root_never_asks_for_it(running: Setup) -> None:
    running.look()
    assert running.policies.trust_root() is None
    assert running.asked == 0


def test_sigstores_root_is_kept_fresh_while_the_policy_in_force_names_it(setup: Setup) -> None:
    setup.names_sigstore = True
    setup.start()
    setup.look()
    assert setup.good.kept_fresh == 1
    setup.mount.update({})
    setup.look()
    setup.look()
    assert setup.good.kept_fresh == 3
    assert setup.policies.trust_root() == "Sigstore's trust root is a fake"


def test_another_root_of_sigstore_is_taken_with_the_policy(setup: Setup) -> None:
    setup.names_sigstore = True
    setup.start()
    before = setup.policies.policy()
    setup.good.trusted = trusted("later")
    assert setup.look() is None
    assert setup.policies.policy() is not before
    assert setup.reads == 2


def test_a_policy_that_no_longer_names_sigstores_root_ends_the_asking(setup: Setup) -> None:
    setup.names_sigstore = True
    setup.start()
    setup.names_sigstore = False
    setup.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    setup.look()
    setup.look()
    assert setup.good.kept_fresh == 1
    assert setup.policies.trust_root() is None


@pytest.fixture
def watching(setup: Setup) -> Iterator[Setup]:
    setup.start(watching=True)
    yield setup
    setup.policies.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "policy"]


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def test_no_thread_runs_before_the_first_question(watching: Setup) -> None:
    before = threads()
    watching.policies.policy()
    assert len(threads()) == len(before) + 1
    watching.policies.policy()
    assert len(threads()) == len(before) + 1


def test_a_change_before_the_first_question_is_in_its_answer(watching: Setup) -> None:
    watching.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    assert watching.rule == "two"


def test_a_change_is_taken_within_two_seconds_though_nobody_asks(watching: Setup) -> None:
    watching.policies.policy()
    watching.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    assert within(2, lambda: watching.reads == 2)


def test_a_bug_ends_neither_the_watching_nor_a_review(watching: Setup, caplog: pytest.LogCaptureFixture) -> None:
    watching.policies.policy()
    watching.broken = RuntimeError("a bug")
    watching.mount.update({"policy.yaml": document("two"), "key.pub": KEY})
    assert within(2, lambda: watching.policies.problem() is not None)
    assert "a bug in gate" in str(watching.policies.problem())
    assert watching.rule == "one"
    assert "the policy was not reloaded" in caplog.messages
    watching.broken = None
    assert watching.look() is None
    assert watching.rule == "two"
