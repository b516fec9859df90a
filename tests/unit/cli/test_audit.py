"""``gate audit``: what is asked once, and what a terminal is told, without a cluster."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from gate.cli import main
from gate.cli.audit import as_text, decide_all, exit_code, show_progress
from gate.core.reasons import Reason
from gate.core.verdict import Decision, Denied, Exempt
from gate.fronts.audit import Question, Row, examine
from gate.kube.syncs import ConfigSync
from tests.fakes import reviews
from tests.fakes.audits import synced
from tests.fakes.engine import POLICY


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "words", [["audit", "x"], ["audit", "--key", "a", "--policy", "b"], ["audit", "-o", "yaml"], ["audit", "--nope"]]
)
def test_words_that_make_no_audit_are_misuse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: gate" in capsys.readouterr().err


def test_without_a_policy_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--key", "gone.pub"]) == 2
    assert capsys.readouterr().err == (
        'gate audit: the public key "gone.pub" cannot be read: No such file or directory\n'
    )


def test_a_refused_image_of_many_objects_is_asked_about_once() -> None:
    asked: list[Question] = []
    told: list[tuple[int, int]] = []

    def decide(question: Question) -> Decision:
        asked.append(question)
        return Decision(Denied(Reason.NO_SIGNATURE, "no signatures found"))

    objects = [synced(reviews.oci(), commit * 64, name=f"s{number}") for number in range(5) for commit in "ab"]
    found = [examine("RootSync", each, POLICY, datetime(2026, 1, 1, tzinfo=UTC)) for each in objects]
    rows = decide_all(found, decide, lambda done, total: told.append((done, total)))
    assert len(asked) == 2
    assert [row.synced for row in rows] == found
    assert all(isinstance(row.decision.verdict, Denied) for row in rows)
    assert told == [(1, 2), (2, 2)]


def test_progress_is_for_a_terminal_and_leaves_no_line_behind() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        show_progress(stream, 1, 2)
        show_progress(stream, 2, 2)
    assert "1 of 2" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert file.getvalue() == ""


REFUSED = Denied(Reason.NO_SIGNATURE, "no signatures found for it")
ASKS = ConfigSync("gcr.io/config-management-release/reconciler-manager:v1.20.0", "")


def row(reason: Reason, *, refused: Denied | None = None, warnings: tuple[str, ...] = ()) -> Row:
    (found,) = [examine("RootSync", synced(reviews.oci(), "a" * 64), POLICY, datetime(2026, 1, 1, tzinfo=UTC))]
    return Row.of(found, Decision(Exempt(reason, f"{reason}: let pass", warnings), refused=refused))


@pytest.mark.parametrize(
    ("only", "finding"),
    [
        (row(Reason.EXCEPTION, refused=REFUSED), REFUSED.message),
        (row(Reason.ROLLOUT, refused=REFUSED), REFUSED.message),
        (row(Reason.WARNED), "warned: let pass"),
        (row(Reason.FAILED_OPEN), "failed-open: let pass"),
        (row(Reason.STATIC_PASS, warnings=("a rule only warns",)), "static-pass: let pass"),
    ],
)
def test_what_is_let_pass_unverified_for_now_is_a_finding_and_told(only: Row, finding: str) -> None:
    assert exit_code([only], ASKS) == 1
    assert finding in as_text([only], ASKS).splitlines()


@pytest.mark.parametrize("reason", [Reason.STATIC_PASS, Reason.GIT, Reason.NO_DIGEST_YET])
def test_what_the_policy_allows_for_good_is_no_finding(reason: Reason) -> None:
    only = row(reason)
    assert exit_code([only], ASKS) == 0
    assert only.decision.verdict.message not in as_text([only], ASKS).splitlines()
