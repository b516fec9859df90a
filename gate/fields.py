"""The fields of a YAML file, read so that every mistake is reported at once, with its line and path."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gate.core.errors import ConfigError, MalformedError
from gate.core.quote import plain, quote
from gate.strictyaml import BOOL, INT, NULL, Node, Scalar, Sequence, Table

PROBLEMS_LIMIT = 50  # problems shown at once: nobody reads more
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)  # none that gate reads comes near the end
_MANY = 3  # choices that are told as a list

# YAML 1.2 core schema, not 1.1: on, off, yes and no are strings, as in Kubernetes' own JSON-shaped YAML.
_TRUTH = {"true": True, "false": False}

T = TypeVar("T")


@dataclass(slots=True)
class Problems:
    """Every mistake found in one file; a reader goes on after a mistake, so that all of them are told at once."""

    name: str
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, path: str, message: str) -> None:
        """Record one mistake."""
        self._found.append((line, f"{self.name}:{line}: {path}: {message}"))

    @property
    def found(self) -> list[str]:
        """Every mistake, in the order of the file."""
        return [text for _, text in sorted(self._found, key=lambda problem: problem[0])]

    def raise_any(self) -> None:
        """Raise ConfigError with every mistake, a line each, if there is any."""
        found = self.found
        if found:
            more = len(found) - PROBLEMS_LIMIT
            shown = found[:PROBLEMS_LIMIT] + ([f"{self.name}: and {more} more"] if more > 0 else [])
            raise ConfigError("\n".join(shown))


_KINDS = {Scalar: "a value", Sequence: "a list", Table: "a mapping"}
_TEXT, _LIST, _MAPPING = "a string that is not empty", "a list that is not empty", "a mapping"


@dataclass(slots=True)
class Fields:
    """The fields of one mapping, taken one by one; ``finish()`` reports those that nobody took.

    A field that is missing or wrong is recorded and a stand-in returned: nothing read this way may be used before
    ``Problems.raise_any()`` has returned.
    """

    path: str
    line: int
    problems: Problems
    _left: dict[str, Node]
    _known: dict[str, Node | None] = field(default_factory=dict)  # what was asked for, and what was found there

    @classmethod
    def of(cls, node: Node | None, path: str, line: int, problems: Problems) -> Fields:
        """Return the fields of ``node``; of none when it is not a mapping, which is recorded, and nothing below it."""
        if isinstance(node, Table):
            return cls(path, node.line, problems, dict(node.entries))
        if node is not None:
            problems.add(node.line, path or "the document", f"found {describe(node)}, expected {_MAPPING}")
            problems = Problems(problems.name)
        return cls(path, line if node is None else node.line, problems, {})

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Return whether the field is given and not yet taken."""
        self._known.setdefault(name, self._left.get(name))
        return name in self._left

    def wrong(self, name: str, message: str, node: Node | None = None) -> None:
        """Record that the field is wrong, at the line of ``node`` or else of the field."""
        node = node or self._known.get(name)
        self.problems.add(node.line if node else self.line, self.at(name), message)

    def take(self, name: str, *, required: str | None = None) -> Node | None:
        """Return the field, or None; one that is missing is recorded where ``required`` says what it has to be."""
        self.has(name)
        node = self._left.pop(name, None)
        if node is None and required is not None:
            self.wrong(name, f"is missing, expected {required}")
        return node

    def one_of(self, *names: str, required: bool = True) -> str | None:
        """Return which one of the fields is given; two at once are recorded, and none where one is required."""
        given = [name for name in names if self.has(name)]
        if len(given) == 1:
            return given[0]
        for name in given:
            self.take(name)
        if given or required:
            found = f"both {' and '.join(given)}" if given else f"neither {' nor '.join(names)}"
            self.problems.add(self.line, self.path or "the document", f"found {found}, expected exactly one of them")
        return None

    def text(self, name: str, default: str | None = None, *, expected: str = _TEXT) -> str:
        """Return the string of the field; without a default it is required and not empty."""
        node = self.take(name, required=expected if default is None else None)
        if node is None:
            return default or ""
        return self._string(name, node)

    def remark(self, name: str) -> str:
        """Return the string of the field without the blanks around it; what is absent or empty says nothing."""
        node = self.take(name)
        if node is None or (isinstance(node, Scalar) and (node.tag == NULL or not node.text)):
            return ""
        return self._string(name, node).strip()

    def parsed(self, name: str, parse_one: Callable[[str], T], *, expected: str = _TEXT) -> T | None:
        """Return what the field's string, which is required, stands for; or None with the problem recorded."""
        text = self.text(name, expected=expected)
        return self._parse(name, text, parse_one, None) if text else None

    def _parse(self, name: str, text: str, parse_one: Callable[[str], T], node: Node | None) -> T | None:
        try:
            return parse_one(text)
        except (ConfigError, MalformedError) as error:
            self.wrong(name, error.message, node)
            return None

    def parsed_list(self, name: str, parse_one: Callable[[str], T], *, required: bool = False) -> tuple[T, ...]:
        """Return what each string of a list stands for, those that are wrong or there already recorded."""
        seen: dict[str, T | None] = {}
        for number, (text, node) in enumerate(self.texts(name, required=required)):
            item = f"{name}[{number}]"
            if text and text in seen:
                self.wrong(item, f"found {quote(text)} a second time, expected it once", node)
            elif text:
                seen[text] = self._parse(item, text, parse_one, node)
        return tuple(value for value in seen.values() if value is not None)

    def _string(self, name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or node.tag == NULL or not node.text:
            self.wrong(name, f"found {describe(node)}, expected {_TEXT}", node)
            return ""
        return node.text

    def texts(self, name: str, *, required: bool = False) -> tuple[tuple[str, Node], ...]:
        """Return the strings of a list, each with its node; a list that is given is not empty."""
        items = self._items(name, required=required)
        return tuple((self._string(f"{name}[{number}]", item), item) for number, item in enumerate(items))

    def _items(self, name: str, *, required: bool, empty: bool = False) -> tuple[Node, ...]:
        node = self.take(name, required=_LIST if required else None)
        if node is None:
            return ()
        if not isinstance(node, Sequence) or not (node.items or empty):
            expected = "a list" if empty else _LIST
            self.wrong(name, f"found {describe(node)}, expected {expected}", node)
            return ()
        return node.items

    def sections(self, name: str, *, required: bool = False, empty: bool = False) -> Iterator[Fields]:
        """Yield the mappings of a list, each as fields of their own; only where ``empty`` says so it may have none."""
        for number, item in enumerate(self._items(name, required=required, empty=empty)):
            yield Fields.of(item, f"{self.at(name)}[{number}]", item.line, self.problems)

    def section(self, name: str, *, required: bool = False) -> Fields:
        """Return the mapping of the field as fields of their own; without any when it is absent."""
        node = self.take(name, required=_MAPPING if required else None)
        # What is missing as a whole is not told again for each of its parts.
        problems = Problems(self.problems.name) if node is None and required else self.problems
        return Fields.of(node, self.at(name), self.line, problems)

    def choice(self, name: str, choices: Mapping[str, T], default: T | None = None) -> T:
        """Return what the field's string stands for; without a default it is required."""
        expected = _any_of(choices)
        node = self.take(name, required=expected if default is None else None)
        stand_in = default if default is not None else next(iter(choices.values()))
        if node is None:
            return stand_in
        if isinstance(node, Scalar) and node.text in choices:
            return choices[node.text]
        self.wrong(name, f"found {describe(node)}, expected {expected}", node)
        return stand_in

    def truth(self, name: str, *, default: bool) -> bool:
        """Return the boolean of the field: ``true`` or ``false``, unquoted."""
        node = self.take(name)
        if node is None:
            return default
        if isinstance(node, Scalar) and node.tag == BOOL and node.text in _TRUTH:
            return _TRUTH[node.text]
        self.wrong(name, f"found {describe(node)}, expected true or false without quotes", node)
        return default

    def integer(self, name: str, default: int, *, most: int) -> int:
        """Return the whole number of the field, in plain decimal digits, from 1 to ``most``."""
        node = self.take(name)
        if node is None:
            return default
        # A leading zero means octal to YAML 1.1 and nothing to YAML 1.2.
        number = isinstance(node, Scalar) and node.tag == INT and _NUMBER.fullmatch(node.text)
        if number and int(number[0]) <= most:
            return int(number[0])
        expected = "1" if most == 1 else f"a whole number from 1 to {most}"
        self.wrong(name, f"found {describe(node)}, expected {expected} without quotes", node)
        return default

    def finish(self) -> None:
        """Record every field that nobody took: a field that is ignored is a rule that does not hold."""
        for name, node in self._left.items():
            self.wrong(
                plain(name), f"is not a field that gate knows here, expected {_any_of(sorted(self._known))}", node
            )
        self._left.clear()


def _any_of(names: Collection[str]) -> str:
    return " or ".join(names) if len(names) < _MANY else f"one of {', '.join(names)}"


def describe(node: Node) -> str:
    """Return what was found, for messages."""
    if isinstance(node, Scalar):
        return "nothing" if node.tag == NULL and node.text in ("", "~", "null") else quote(node.text)
    if isinstance(node, Sequence) and not node.items:
        return "an empty list"
    return _KINDS[type(node)]
