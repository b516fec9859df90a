"""What keys have said is remembered: the same answer as the key's own, and each question put to it once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from gate.core.errors import UntrustedError
from gate.core.keys import PublicKey, parse_public_key
from gate.core.reasons import Reason
from gate.demo.signer import Signer
from gate.service import KeptChecks

SIGNER, STRANGER = Signer.generate(), Signer.generate()
KEY, OTHER = parse_public_key(SIGNER.public_pem), parse_public_key(STRANGER.public_pem)
MESSAGE = b"the signed payload"
SIGNATURE = SIGNER.sign(MESSAGE)


@dataclass(frozen=True, slots=True)
class CountingKey(PublicKey):
    """A key that counts how often it is asked."""

    asked: list[bytes] = field(default_factory=list, compare=False)

    def verify(self, signature: bytes, message: bytes) -> None:
        self.asked.append(signature)
        PublicKey.verify(self, signature, message)


def counting(key: PublicKey = KEY) -> CountingKey:
    return CountingKey(key.spki, key._key)


def refusal(check: KeptChecks, key: PublicKey, signature: bytes, message: bytes) -> tuple[Reason, str]:
    with pytest.raises(UntrustedError) as caught:
        check(key, signature, message)
    return caught.value.reason, caught.value.message


def test_a_valid_signature_is_accepted_again_without_the_key() -> None:
    key, check = counting(), KeptChecks()
    for _ in range(3):
        check(key, SIGNATURE, MESSAGE)
    assert len(key.asked) == 1


def test_a_refusal_is_repeated_in_the_same_words_without_the_key() -> None:
    key, check = counting(OTHER), KeptChecks()
    said = {refusal(check, key, SIGNATURE, MESSAGE) for _ in range(3)}
    assert said == {(Reason.BAD_SIGNATURE, "the signature does not verify with the key")}
    assert len(key.asked) == 1


def test_an_acceptance_is_for_one_key_one_signature_and_one_message() -> None:
    check = KeptChecks()
    check(KEY, SIGNATURE, MESSAGE)
    refusal(check, OTHER, SIGNATURE, MESSAGE)
    refusal(check, KEY, SIGNATURE, MESSAGE + b"!")
    refusal(check, KEY, STRANGER.sign(MESSAGE), MESSAGE)


@pytest.mark.parametrize(
    ("signature", "message"),
    [(SIGNATURE[:-1], SIGNATURE[-1:] + MESSAGE), (SIGNATURE + MESSAGE, b"")],
    ids=["one", "all"],
)
def test_bytes_that_move_between_signature_and_message_are_another_question(signature: bytes, message: bytes) -> None:
    check = KeptChecks()
    check(KEY, SIGNATURE, MESSAGE)
    refusal(check, KEY, signature, message)


def test_the_least_recently_used_answer_makes_room() -> None:
    key, check = counting(), KeptChecks(entries=2)
    first, second, third = (SIGNER.sign(MESSAGE) for _ in range(3))
    for signature in (first, second, first, third, first, second):
        check(key, signature, MESSAGE)
    assert key.asked == [first, second, third, second]


def test_many_threads_get_the_keys_own_answer() -> None:
    check = KeptChecks(entries=4)
    questions = [(KEY, SIGNER.sign(bytes([n])), bytes([n])) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(check, *question) for question in questions * 50]
        assert all(answer.result() is None for answer in answers)
        refused = [threads.submit(check, OTHER, *question[1:]) for question in questions * 50]
        assert all(isinstance(answer.exception(), UntrustedError) for answer in refused)
