"""A decision as JSON: every member, and the true verdict of every rule."""

from __future__ import annotations

import json
from dataclasses import replace

from gate.core.oci import Digest, Reference
from gate.core.policy import Mode
from gate.core.reasons import Reason
from gate.core.report import describe
from gate.core.verdict import Decision, Denied, Exempt
from tests.fakes.signing import REPOSITORY, Image, authority, rule_for, signer


def test_a_decision_is_described_whole() -> None:
    image = Image.push()
    signer().sign_tag(image.store, REPOSITORY, image.digest)
    signer("p256", 1).sign_tag(image.store, REPOSITORY, image.digest)
    warning = replace(rule_for(signer("p256", 2), "strict"), mode=Mode.WARN)
    decision = image.decide(rule_for(signer()), warning)
    voucher = {"authority": "release", "identity": authority(signer()).identity}
    refused = {"format": "simplesigning", "location": "tag layer 1", "verdict": "denied", "reason": "bad-signature"}
    assert describe(decision) == {
        "digest": str(image.digest),
        "index": None,
        "verdict": "verified",
        "reason": "verified",
        "message": decision.verdict.message,
        "refused": None,
        "rules": [
            {"name": "release", "mode": "enforce", "verdict": "verified", "reason": "verified", "signers": [voucher]},
            {"name": "strict", "mode": "warn", "verdict": "denied", "reason": "untrusted", "signers": []},
        ],
        "candidates": [
            {
                "format": "simplesigning",
                "location": "tag layer 0",
                "verdict": "verified",
                "reason": "verified",
                "message": "the signature is valid",
                "signer": voucher,
            },
            refused | {"message": "the signature does not verify with the key", "signer": None},
        ],
    }
    assert json.dumps(describe(decision))


def test_a_decision_about_nothing_has_no_digest() -> None:
    nothing = Decision(Denied(Reason.NOT_FOUND, "m"))
    assert describe(nothing)["digest"] is None
    tag_only = Decision(nothing.verdict, subject=Reference.parse("reg.io/a:t"))
    assert describe(tag_only)["digest"] is None
    digest = Digest.of(b"x")
    assert describe(Decision(nothing.verdict, subject=Reference.parse("reg.io/a").at(digest)))["digest"] == str(digest)


def test_the_index_that_was_looked_at_is_part_of_it() -> None:
    index = Digest.of(b"the index")
    assert describe(Decision(Denied(Reason.UNTRUSTED, "m"), index=index))["index"] == str(index)


def test_what_is_admitted_all_the_same_is_described_with_its_true_verdict() -> None:
    decision = Decision(Exempt(Reason.ROLLOUT, "admitted"), refused=Denied(Reason.UNTRUSTED, "refused"))
    assert describe(decision)["verdict"] == "exempt"
    assert describe(decision)["refused"] == {"verdict": "denied", "reason": "untrusted", "message": "refused"}
