"""The README's code blocks, so that what is tested is what is written."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """Return the code block that is marked with ``<!-- test: name -->``."""
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)```\n", README, re.DOTALL)
    assert found is not None, name
    return found[1]


def commands() -> list[str]:
    """Return every line of every shell block, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```\n", README, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
