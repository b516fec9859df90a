"""docs/reasons.md is what the code says, and speaks of everything that is seen around a message."""

from __future__ import annotations

import re

import pytest

from gate.core.reasons import Reason
from tests.reasons_page import BEGIN, PAGE, SECTIONS, tables, written


def test_the_page_is_what_make_docs_writes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page


def test_every_reason_has_one_row_with_its_cause_and_its_fix() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", tables(), re.MULTILINE)
    assert [(name, cause.replace("\\", ""), fix.replace("\\", "")) for name, cause, fix in rows] == [
        (str(reason), reason.cause, reason.remedy) for reason in Reason
    ]


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        (Reason.FAILED_OPEN, "Exempt"),
        (Reason.NOT_ENOUGH_SIGNERS, "Denied"),
        (Reason.INTERNAL, "Could not tell"),
        (Reason.VERIFIERS_DIFFER, "Single signatures"),
    ],
)
def test_the_last_reason_of_a_kind_is_in_the_section_of_its_kind(reason: Reason, title: str) -> None:
    section = tables().partition(f"`{reason}`")[0].rpartition("## ")[2]
    assert section.startswith(f"{title}\n")
    assert len(SECTIONS) == tables().count("\n## ")


def test_a_page_without_its_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="unpack"):
        written(PAGE.read_text(encoding="utf-8").replace(BEGIN, ""))


@pytest.mark.parametrize(
    "shown", ["KNV2002: failed to patch", "KNV2013: Insufficient permission", "KNV2004: failed to patch", "RECONCILING"]
)
def test_the_page_explains_what_is_seen_around_a_message(shown: str) -> None:
    assert shown in PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
