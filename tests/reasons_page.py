"""Writes the tables of docs/reasons.md from the closed list of reasons: ``make docs``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from gate.core.reasons import Reason

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reasons.md"
BEGIN, END = "<!-- made by `make docs` from gate/core/reasons.py: begin -->\n", "<!-- end -->\n"

# The list is in order: each section begins with a reason and ends before the next section's.
SECTIONS: tuple[tuple[Reason, str, str], ...] = (
    (Reason.VERIFIED, "Verified", "Admitted, with a proof."),
    (Reason.STATUS, "Exempt", "Admitted without a proof, by a choice that somebody wrote down."),
    (Reason.NO_SIGNATURE, "Denied", "Everything could be read, and it does not satisfy."),
    (
        Reason.REGISTRY_UNREACHABLE,
        "Could not tell",
        "Something could not be read. That denies, too, and is never taken for a missing signature.",
    ),
    (
        Reason.WRONG_DIGEST,
        "Single signatures",
        "Why one signature does not count: in `untrusted` messages, records and `gate verify`. Also: `malformed`.",
    ),
)


def tables() -> str:
    """Return a section with a table for each kind of reason, in the order of the list."""
    reasons = list(Reason)
    starts = [reasons.index(first) for first, _, _ in SECTIONS]
    spans = pairwise([*starts, len(reasons)])
    return "".join(
        _section(title, about, reasons[start:end])
        for (_, title, about), (start, end) in zip(SECTIONS, spans, strict=True)
    )


def _section(title: str, about: str, reasons: list[Reason]) -> str:
    rows = (f"| `{reason}` | {_cell(reason.cause)} | {_cell(reason.remedy)} |\n" for reason in reasons)
    return f"\n## {title}\n\n{about}\n\n| reason | cause | fix |\n|---|---|---|\n{''.join(rows)}"


def _cell(sentence: str) -> str:
    """Return a sentence as Markdown text: a placeholder is no HTML, and a bar ends no cell."""
    return sentence.replace("<", "\\<").replace("|", "\\|")


def written(page: str) -> str:
    """Return ``page`` with the tables between its marks replaced; ValueError where a mark is not there once."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
