"""The closed list of reasons, and the tree of errors that carries them."""

from __future__ import annotations

import re

import pytest

from gate.core.errors import ConfigError, GateError, MalformedError, UnavailableError, UntrustedError
from gate.core.reasons import Reason

WIRE = {
    *("verified",),
    *("status", "delete", "unchanged", "git", "helm-http", "no-digest-yet", "claim-removed", "static-pass"),
    *("exception", "warned", "rollout", "no-rule-allowed", "failed-open"),
    *("no-signature", "untrusted", "not-found", "no-rule", "source-denied", "digest-required", "source-mismatch"),
    *("no-annotation", "helm-oci", "malformed", "static-fail", "not-enough-signers"),
    *("registry-unreachable", "registry-unauthorized", "registry-error", "registry-limited", "registry-address"),
    *("layout-error", "limit", "deadline", "trust-root", "busy", "internal"),
    *("wrong-digest", "bad-signature", "unsupported", "attestation", "identity", "certificate", "no-sct"),
    *("no-log-entry", "log-entry", "no-time", "timestamp", "reference", "verifiers-differ"),
}


def test_no_published_reason_disappears() -> None:
    assert {reason.value for reason in Reason} >= WIRE


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_wire_form_a_cause_and_a_remedy_of_one_sentence(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)
    assert str(reason) == reason.value
    for sentence in (reason.cause, reason.remedy):
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert sentence.isascii()


def test_two_members_never_share_a_wire_form() -> None:
    assert len({reason.value for reason in Reason.__members__.values()}) == len(Reason.__members__)


def test_there_are_four_kinds_of_errors_and_one_root() -> None:
    assert set(GateError.__subclasses__()) >= {ConfigError, MalformedError, UntrustedError, UnavailableError}


def test_errors_carry_a_sentence_and_a_reason() -> None:
    assert (MalformedError("m").message, MalformedError.reason) == ("m", Reason.MALFORMED)
    assert UntrustedError(Reason.IDENTITY, "m").reason is Reason.IDENTITY
    assert str(ConfigError("m")) == "m"


def test_an_unavailable_error_is_an_outage_only_where_that_is_said() -> None:
    assert not UnavailableError(Reason.LIMIT, "m").outage
    assert UnavailableError(Reason.DEADLINE, "m", outage=True).outage
