"""What the tests of gate/core did not notice, after ``mutmut run``: the score, and each survivor as a diff.

Mutants of message texts are left out: a string literal that holds a space is a sentence for people, and what it says is
checked where it is shown. The exit code is 1 when more than 5 % of the others survive.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
ALLOWED = 0.05  # of all mutants but those of messages
_LITERAL = re.compile(r"""[rbf]{0,2}("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


def results() -> dict[str, str]:
    """Return the state of every mutant by its name."""
    answer = subprocess.run([BIN / "mutmut", "results", "--all", "true"], capture_output=True, text=True, check=True)
    lines = (line.strip().rpartition(": ") for line in answer.stdout.splitlines())
    return {name: state for name, _, state in lines if name}


def difference(name: str) -> str:
    """Return the mutant as a diff."""
    return subprocess.run([BIN / "mutmut", "show", name], capture_output=True, text=True, check=True).stdout


def is_message(diff: str) -> bool:
    """Return whether all that the mutant changes is a sentence, or whether there is one."""
    removed = [line[1:].strip() for line in diff.splitlines() if re.match(r"-(?!--)", line)]
    added = [line[1:].strip() for line in diff.splitlines() if re.match(r"\+(?!\+\+)", line)]
    masked = [_LITERAL.sub(_mask, line) for line in removed], [_LITERAL.sub(_mask, line) for line in added]
    return masked[0] == masked[1] or any("~" in line and re.sub("~", "None", line) in masked[1] for line in masked[0])


def _mask(match: re.Match[str]) -> str:
    return "~" if " " in match[1] else match[0]


def main() -> int:
    """Print the survivors and the score."""
    found = results()
    survivors = {name: difference(name) for name, state in found.items() if state in {"survived", "no tests"}}
    messages = {name for name, diff in survivors.items() if is_message(diff)}
    for name, diff in survivors.items():
        if name not in messages:
            print(f"{name}\n{diff}")
    total, alive = len(found) - len(messages), len(survivors) - len(messages)
    print(f"{total} mutants, {alive} survived ({alive / max(total, 1):.1%}); {len(messages)} of messages left out")
    return int(alive > ALLOWED * total)


if __name__ == "__main__":
    sys.exit(main())
