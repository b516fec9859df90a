"""What the tests of gate/core did not notice, after ``mutmut run``: the score, and each survivor as a diff.

Mutants of message texts are left out, killed or not: a string literal with words in it is a sentence for people, and
what it says is checked where it is shown. The exit code is 1 when more than 5 % of the others survive, when a mutant
was not tried, and when there is none.
"""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BIN = Path(sys.executable).parent
MUTATED = Path("mutants")  # where mutmut writes each function once as it was, and once for each mutant
ALLOWED = 0.05  # of all mutants but those of messages
NOTICED = {"killed", "timeout"}
_LITERAL = re.compile(r"""([rbf]{0,2})("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_WORDS = re.compile(r"[a-z]{2,} | [a-z]{2,}")
_EXPRESSION = re.compile(r"({[^{}]*})")  # of an f-string: that is code


def results() -> dict[str, str]:
    """Return the state of every mutant by its name."""
    answer = subprocess.run([BIN / "mutmut", "results", "--all", "true"], capture_output=True, text=True, check=True)
    lines = (line.strip().rpartition(": ") for line in answer.stdout.splitlines())
    return {name: state for name, _, state in lines if name}


def differences() -> Iterator[tuple[str, list[str]]]:
    """Yield each mutant's name, and the lines that it removes and adds."""
    for path in sorted((MUTATED / "gate" / "core").rglob("*.py")):
        module = ".".join(path.relative_to(MUTATED).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text()
        found = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef)]
        lines = re.sub(r"(\w+__mutmut)_\w+(?=\()", r"\1", text).splitlines()  # so that names are no difference
        functions = {each.name: lines[each.lineno - 1 : each.end_lineno] for each in found if "__mutmut_" in each.name}
        for name, body in functions.items():
            function, _, number = name.rpartition("__mutmut_")
            if number.isdigit():
                original = functions[f"{function}__mutmut_orig"]
                changed = [line for line in difflib.ndiff(original, body) if line[:1] in {"-", "+"}]
                yield f"{module}.{name}", changed


def is_message(changed: list[str]) -> bool:
    """Return whether all that the mutant changes is the text of a sentence, or whether there is one."""
    removed, added = ([line[2:].strip() for line in changed if line.startswith(sign)] for sign in "-+")
    if [_LITERAL.sub(_without_words, line) for line in removed] == [
        _LITERAL.sub(_without_words, line) for line in added
    ]:
        return True
    return any(
        line[: match.start()] + "None" + line[match.end() :] in added
        for line in removed
        for match in _LITERAL.finditer(line)
        if _is_sentence(match)
    )


def _is_sentence(match: re.Match[str]) -> bool:
    return "b" not in match[1] and _WORDS.search(match[2]) is not None


def _without_words(match: re.Match[str]) -> str:
    if not _is_sentence(match):
        return match[0]
    return "~".join(_EXPRESSION.findall(match[2])) + "~" if "f" in match[1] else "~"


def main() -> int:
    """Print the survivors and the score."""
    states = results()
    changes = dict(differences())
    if not changes or states.keys() != changes.keys():
        print(f"mutmut names {len(states)} mutants, and {len(changes)} are written down: run it again", file=sys.stderr)
        return 1
    judged = {name: changed for name, changed in changes.items() if not is_message(changed)}
    survivors = {name: changed for name, changed in judged.items() if states[name] not in NOTICED}
    for name, changed in survivors.items():
        print("\n".join((f"{name}: {states[name]}", *changed, "")))
    counted = Counter(states[name] for name in judged)
    print(", ".join(f"{number} {state}" for state, number in counted.most_common()))
    print(
        f"{len(judged)} mutants, {len(survivors)} survived ({len(survivors) / len(judged):.1%});"
        f" {len(changes) - len(judged)} of messages left out"
    )
    return int(not counted.keys() <= {*NOTICED, "survived", "no tests"} or len(survivors) > ALLOWED * len(judged))


if __name__ == "__main__":
    sys.exit(main())
