"""The code blocks of the README and of docs/, so that what is tested is what is written."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(r"(?:^ *<!-- ([^>\n]+) -->\n)?^( *)```(\w*)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: ``mark`` is the comment above it, or empty."""

    mark: str
    language: str
    text: str


def blocks(document: str) -> tuple[Block, ...]:
    """Return every code block of a document in order, without the indentation of a list."""
    found = _BLOCK.findall(document)
    assert len(found) * 2 == len(re.findall(r"^ *```", document, re.MULTILINE))
    return tuple(Block(mark, language, textwrap.dedent(text)) for mark, _, language, text in found)


def block(name: str, document: str = README) -> str:
    """Return the code block that is marked with ``<!-- test: name -->``."""
    (found,) = (each.text for each in blocks(document) if each.mark == f"test: {name}")
    return found


def commands(document: str = README) -> list[str]:
    """Return every line of every shell block, continued lines joined."""
    lines = "".join(each.text for each in blocks(document) if each.language == "sh").replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
