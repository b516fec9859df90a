"""The Dockerfile as data, so that its own lines are what the tests hold against the project and execute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

_CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its keyword in capitals, and the rest of the line with continuations joined."""

    keyword: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM line and what follows it, up to the next."""

    base: str
    instructions: tuple[Instruction, ...]

    def of(self, keyword: str) -> tuple[str, ...]:
        """Return the texts of the instructions with this keyword, in order."""
        return tuple(each.text for each in self.instructions if each.keyword == keyword)

    @property
    def environment(self) -> dict[str, str]:
        """Return what ENV sets; values hold no quotes and no blanks here."""
        pairs = (pair for text in self.of("ENV") for pair in text.split())
        return dict(pair.split("=", 1) for pair in pairs)


def stages() -> tuple[Stage, ...]:
    """Return the stages of the project's Dockerfile, without what stands before the first FROM."""
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Stage] = []
    for line in _CONTINUED.sub(" ", "\n".join(lines)).splitlines():
        keyword, rest = line.split(None, 1)
        if keyword == "FROM":
            found.append(Stage(rest, ()))
        elif found:
            last = found[-1]
            found[-1] = Stage(last.base, (*last.instructions, Instruction(keyword, rest)))
    return tuple(found)


def copied(stage: Stage) -> tuple[tuple[str, str], ...]:
    """Return (source, target) of everything that a stage copies out of the checkout."""
    pairs: list[tuple[str, str]] = []
    for text in stage.of("COPY"):
        if not text.startswith("--from"):
            *sources, target = text.split()
            pairs += [(source, target) for source in sources]
    return tuple(pairs)
