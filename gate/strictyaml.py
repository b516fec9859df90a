"""YAML with one meaning per document.

Accepted: one document of mappings, sequences and plain or quoted scalars. Refused: aliases, anchors, tags, merge keys,
duplicate and non-string keys, and anything larger or deeper than its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from gate.core.errors import ConfigError
from gate.core.quote import quote

DEPTH_LIMIT = 64  # nested mappings and sequences; the deepest file that gate reads needs 8
STRING, BOOL, INT, NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "int", "null"))


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
            if not isinstance(key, yaml.ScalarNode) or key.tag != STRING:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: found a key that is not a string")
            if key.value in entries:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: found the key {quote(key.value)} twice")
            entries[key.value] = _convert(value, name)
        return Table(entries, line)
    text = str(node.value)
    if "\0" in text or any(0xD800 <= ord(char) <= 0xDFFF for char in text):  # noqa: PLR2004 (UTF-16 surrogates)
        raise ConfigError(f"{name}:{line}: found a character that no name or key has")
    return Scalar(text, node.tag, line)
