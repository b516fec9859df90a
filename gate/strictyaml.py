"""YAML with one meaning per document, and a reader that reports every mistake with its line and path.

Accepted: one document of mappings, sequences and plain or quoted scalars. Refused: aliases, anchors, tags, merge keys,
duplicate and non-string keys, and anything larger or deeper than its limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import yaml

from gate.core.errors import ConfigError
from gate.core.quote import quote

DEPTH_LIMIT = 64  # nested mappings and sequences; the deepest file that gate reads needs 8
PROBLEMS_LIMIT = 50  # problems shown at once: nobody reads more

_STRING, _BOOL, _INT, _NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "int", "null"))
# YAML 1.2 core schema, not 1.1: on, off, yes and no are strings, as in Kubernetes' own JSON-shaped YAML.
_TRUTH = {"true": True, "false": False}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar as written; ``tag`` is what YAML's rules make of it."""

    text: str
    tag: str
    line: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with string keys, in the order of the file."""

    entries: Mapping[str, Node]
    line: int


Node: TypeAlias = Scalar | Sequence | Table


def parse(data: bytes, *, limit: int, name: str) -> Node:
    """Return the document in ``data`` (UTF-8, at most ``limit`` bytes), or raise ConfigError that names the line."""
    if len(data) > limit:
        raise ConfigError(f"{name}: has {len(data)} bytes, more than {limit}")
    try:
        text = data.decode("utf-8")
        _check_events(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: is not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The last two: an escape that names no character, or a version number of thousands of digits.
        raise ConfigError(f"{name}: is not YAML: a character that YAML does not allow") from error
    if root is None:
        raise ConfigError(f"{name}: is empty")
    return _convert(root, name)


def _check_events(text: str, name: str) -> None:
    """Refuse what would give a document a second meaning, or unbounded size, before anything is built from it."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ConfigError(f"{name}:{line}: found an anchor or alias; write the value out")
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"{name}:{line}: found a tag; write a plain value")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if documents > 1:
            raise ConfigError(f"{name}:{line}: found a second document; the file holds one")
        if depth > DEPTH_LIMIT:
            raise ConfigError(f"{name}:{line}: is nested deeper than {DEPTH_LIMIT} levels")


def _convert(node: yaml.Node, name: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Sequence(tuple(_convert(item, name) for item in node.value), line)
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != _STRING:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: found a key that is not a string")
            if key.value in entries:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: found the key {quote(key.value)} twice")
            entries[key.value] = _convert(value, name)
        return Table(entries, line)
    text = str(node.value)
    if "\0" in text or any(0xD800 <= ord(char) <= 0xDFFF for char in text):  # noqa: PLR2004 (UTF-16 surrogates)
        raise ConfigError(f"{name}:{line}: found a character that no name or key has")
    return Scalar(text, node.tag, line)


@dataclass(slots=True)
class Problems:
    """Every mistake found in one file; a reader goes on after a mistake, so that all of them are told at once."""

    name: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, path: str, message: str) -> None:
        """Record one mistake."""
        self.found.append(f"{self.name}:{line}: {path}: {message}")

    def raise_any(self) -> None:
        """Raise ConfigError with every mistake, a line each, if there is any."""
        if self.found:
            more = len(self.found) - PROBLEMS_LIMIT
            shown = self.found[:PROBLEMS_LIMIT] + ([f"{self.name}: and {more} more"] if more > 0 else [])
            raise ConfigError("\n".join(shown))


_KINDS = {Scalar: "a value", Sequence: "a list", Table: "a mapping"}


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

    @classmethod
    def of(cls, node: Node | None, path: str, line: int, problems: Problems) -> Fields:
        """Return the fields of ``node``; of none, with a recorded problem, when it is not a mapping."""
        if isinstance(node, Table):
            return cls(path, node.line, problems, dict(node.entries))
        if node is not None:
            problems.add(node.line, path or "the document", f"found {_describe(node)}, expected a mapping")
        return cls(path, line if node is None else node.line, problems, {})

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Return whether the field is given and not yet taken."""
        return name in self._left

    def wrong(self, name: str, message: str, node: Node | None = None) -> None:
        """Record that the field is wrong."""
        self.problems.add(node.line if node else self.line, self.at(name), message)

    def take(self, name: str, *, required: bool = False) -> Node | None:
        """Return the field, or None; a required one that is missing is recorded."""
        node = self._left.pop(name, None)
        if node is None and required:
            self.wrong(name, "is missing")
        return node

    def text(self, name: str, default: str | None = None) -> str:
        """Return the string of the field; without a default it is required and not empty."""
        node = self.take(name, required=default is None)
        if node is None:
            return default or ""
        return self._string(name, node)

    def _string(self, name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or node.tag == _NULL or not node.text:
            self.wrong(name, f"found {_describe(node)}, expected a string that is not empty", node)
            return ""
        return node.text

    def texts(self, name: str, *, required: bool = False) -> tuple[tuple[str, Node], ...]:
        """Return the strings of a list, each with its node; a list that is given is not empty."""
        return tuple((self._string(name, item), item) for item in self._items(name, required=required))

    def _items(self, name: str, *, required: bool) -> tuple[Node, ...]:
        node = self.take(name, required=required)
        if node is None:
            return ()
        if not isinstance(node, Sequence) or not node.items:
            self.wrong(name, f"found {_describe(node)}, expected a list that is not empty", node)
            return ()
        return node.items

    def sections(self, name: str, *, required: bool = False) -> Iterator[Fields]:
        """Yield the mappings of a list, each as fields of their own."""
        for number, item in enumerate(self._items(name, required=required)):
            yield Fields.of(item, f"{self.at(name)}[{number}]", item.line, self.problems)

    def section(self, name: str, *, required: bool = False) -> Fields:
        """Return the mapping of the field as fields of their own; without any when it is absent."""
        return Fields.of(self.take(name, required=required), self.at(name), self.line, self.problems)

    def choice(self, name: str, choices: Mapping[str, T], default: T | None = None) -> T:
        """Return what the field's string stands for; without a default it is required."""
        node = self.take(name, required=default is None)
        stand_in = default if default is not None else next(iter(choices.values()))
        if node is None:
            return stand_in
        if isinstance(node, Scalar) and node.text in choices:
            return choices[node.text]
        self.wrong(name, f"found {_describe(node)}, expected one of {', '.join(choices)}", node)
        return stand_in

    def truth(self, name: str, *, default: bool) -> bool:
        """Return the boolean of the field: ``true`` or ``false``, unquoted."""
        node = self.take(name)
        if node is None:
            return default
        if isinstance(node, Scalar) and node.tag == _BOOL and node.text in _TRUTH:
            return _TRUTH[node.text]
        self.wrong(name, f"found {_describe(node)}, expected true or false", node)
        return default

    def integer(self, name: str, default: int) -> int:
        """Return the whole number of the field, in plain decimal digits."""
        node = self.take(name)
        if node is None:
            return default
        if isinstance(node, Scalar) and node.tag == _INT and node.text.isascii() and node.text.isdigit():
            return int(node.text[:9])
        self.wrong(name, f"found {_describe(node)}, expected a whole number", node)
        return default

    def unbuilt(self, *names: str) -> None:
        """Record each of the fields that is given: it is known, and this version does not act on it."""
        for name in names:
            node = self.take(name)
            if node is not None:
                self.wrong(name, "is not built yet; remove it", node)

    def finish(self) -> None:
        """Record every field that nobody took: a field that is ignored is a rule that does not hold."""
        for name, node in self._left.items():
            self.wrong(name, "is not a field that gate knows", node)
        self._left.clear()


def _describe(node: Node) -> str:
    if isinstance(node, Scalar):
        return "nothing" if node.tag == _NULL and node.text in ("", "~", "null") else quote(node.text)
    return _KINDS[type(node)]
