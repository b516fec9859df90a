"""Reviews from several threads while policy and key are swapped a hundred times: each is answered by one set alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.core.deadline import Deadline
from gate.core.oci import Digest
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.fronts.review import Reviewer
from gate.registry.evidence import EvidenceStore, Flights, RegistrySource
from gate.service import Gate
from gate.trust.policyfile import load_policy
from gate.trust.publicgood import PublicGood
from gate.trust.reload import PolicySet
from tests.fakes.mount import Mount
from tests.fakes.registry import StoreClient
from tests.fakes.reviews import claim, encode, oci, poll, sync

SWAPS = 100
WATCHED = 10  # every so many swaps are left to the thread that watches, which looks four times a second
THREADS = 4
TAKEN_SECONDS = 2.0
HOST = "registry.example"

# Each set admits one repository, by the key that signs there. A policy of one set with the key of the other would find
# the signature of the right repository untrusted, which neither set does.
NAMES = ("a", "b")
SIGNERS = {name: Signer.generate() for name in NAMES}


def files(name: str) -> dict[str, bytes]:
    policy = (
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\nsources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        f'rules: [{{name: {name}, match: {{images: ["{HOST}/{name}/**"]}},'
        " authorities: [{name: release, key: {file: cosign.pub}}]}]\n"
    )
    return {"policy.yaml": policy.encode(), "cosign.pub": SIGNERS[name].public_pem}


@dataclass(frozen=True)
class Answer:
    """What a review of the image in one repository heard, and when it was asked and answered."""

    image: str
    reason: str
    begun: float
    ended: float


@dataclass
class Hammer:
    reviewer: Reviewer
    policies: PolicySet
    reviews: dict[str, bytes]
    answers: list[Answer] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, image: str) -> Answer:
        begun = time.monotonic()
        reply = self.reviewer.answer(self.reviews[image], Deadline.after(8, time.monotonic))
        response = json.loads(reply.body)["response"]
        reason = "verified" if response["allowed"] else response["status"]["message"].partition(":")[0]
        return Answer(image, reason, begun, time.monotonic())

    def strike(self, image: str) -> None:
        while not self.over.is_set():
            self.answers.append(self.ask(image))

    def answered_by(self, name: str) -> float:
        """Return when the set ``name`` was first seen to answer, which it has to do in time."""
        since = time.monotonic()
        while (answer := self.ask(name)).reason != "verified":
            assert answer.ended - since <= TAKEN_SECONDS, answer
        return answer.ended


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    mount = Mount(tmp_path / "etc")
    mount.update(files("a"))
    return mount


@pytest.fixture
def hammer(mount: Mount) -> Iterator[Hammer]:
    store, reviews = Store(), {}
    for name in NAMES:
        raw = layouts.image({"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}, [])
        digest = store.push_manifest(f"{name}/config", raw)
        SIGNERS[name].sign_tag(store, f"{name}/config", digest)
        image = f"{HOST}/{name}/config@{digest}"
        reviews[name] = encode(poll(sync(oci(image), claim(f"{image}@{digest}"))))
    client, kept = StoreClient(store), EvidenceStore(time.monotonic)

    def no_public_good() -> PublicGood:
        pytest.fail("no policy names it")

    with ThreadPoolExecutor(8) as executor, ThreadPoolExecutor(2) as searches:
        flights = Flights(searches)
        gate = Gate(lambda host, _: RegistrySource(host, client, kept, flights, executor), lambda: datetime.now(UTC))
        path = mount.path / "policy.yaml"
        policies = PolicySet(lambda roots: load_policy(path, roots), no_public_good, time.monotonic)
        yield Hammer(Reviewer(gate, policies.policy, lambda _: None), policies, reviews)
        policies.close()


def test_every_answer_is_one_sets_and_a_swap_works_within_two_seconds(mount: Mount, hammer: Hammer) -> None:
    hammer.answered_by("a")
    steady: list[tuple[str, float, float]] = []  # which set alone may have answered, from when until when
    with ThreadPoolExecutor(THREADS) as threads:
        strikes = [threads.submit(hammer.strike, NAMES[number % 2]) for number in range(THREADS)]
        try:
            for swap in range(1, SWAPS + 1):
                name = NAMES[swap % 2]
                swapped = time.monotonic()
                mount.update(files(name))
                if swap % WATCHED:
                    hammer.policies.look()
                taken = hammer.answered_by(name)
                assert taken - swapped <= TAKEN_SECONDS
                time.sleep(0.01)
                steady.append((name, taken, time.monotonic()))
        finally:
            hammer.over.set()
    for strike in strikes:
        strike.result()
    assert len(hammer.answers) > SWAPS
    assert {(answer.image, answer.reason) for answer in hammer.answers} == {
        ("a", "verified"), ("a", "no-rule"), ("b", "verified"), ("b", "no-rule")
    }  # fmt: skip
    for name, since, until in steady:
        inside = [answer for answer in hammer.answers if since <= answer.begun and answer.ended <= until]
        assert {answer.reason for answer in inside if answer.image == name} <= {"verified"}
        assert {answer.reason for answer in inside if answer.image != name} <= {"no-rule"}
