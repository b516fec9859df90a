"""Globs of the policy: repository names by segments, plain names by characters. No backtracking: time is linear.

In a repository glob ``*`` stands for any characters within one segment and a segment ``**`` for one or more whole
segments. A host is literal, or has ``*`` for whole labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gate.core.errors import MalformedError
from gate.core.oci import DOCKER_HUB, Reference
from gate.core.quote import quote

EVERYTHING = "**"
_GLOB_CHARACTERS = 512  # characters of one glob: host (255) and repository (255)
_PLACEHOLDER = "x"  # stands for a wildcard while the rest of a glob is checked as a reference


def match_text(pattern: str, text: str) -> bool:
    """Return whether ``text`` matches ``pattern``, in which ``*`` stands for any characters, none included."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


@dataclass(frozen=True, slots=True)
class ImageGlob:
    """A glob over canonical image names (registry and repository, never tags)."""

    host: tuple[str, ...] | None
    port: str
    path: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the glob, made canonical as references are, or raise MalformedError that says what is wrong."""
        if text == EVERYTHING:
            return cls(None, "", ())
        host, _, path = text.partition("/")
        if len(text) > _GLOB_CHARACTERS or not path:
            raise MalformedError(f"{quote(text)} is not a repository glob: write HOST/PATH, or ** for every image")
        labels, _ = _split(host)
        if any("*" in label and label != "*" for label in labels):
            raise MalformedError(f"{quote(text)} has a * within a label of the host; it stands for one whole label")
        segments = path.split("/")
        if any("**" in segment and segment != "**" for segment in segments):
            raise MalformedError(f"{quote(text)} has a ** within a segment; it stands for whole segments")
        registry, library = _canonical(text, host, path)
        canonical, port = _split(registry)
        if "*" in labels:  # no name of Docker Hub then, so the labels are still as many
            canonical = tuple("*" if label == "*" else known for label, known in zip(labels, canonical, strict=True))
        return cls(canonical, port, (*library, *segments))

    @property
    def literal_host(self) -> str | None:
        """The registry, where the glob names exactly one; the operator has then named that host."""
        if self.host is None or "*" in self.host:
            return None
        return ".".join(self.host) + (f":{self.port}" if self.port else "")

    def matches(self, reference: Reference) -> bool:
        """Return whether the reference's registry and repository match; tag and digest are not looked at."""
        if self.host is None:
            return True
        labels, port = _split(reference.registry)
        if port != self.port or len(labels) != len(self.host) or not all(map(match_text, self.host, labels)):
            return False
        return _match_segments(self.path, reference.repository.split("/"))


def _split(host: str) -> tuple[tuple[str, ...], str]:
    """Return the labels of a host and its port, empty where it has none: a * stands for a label, never for a port."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return tuple(name.split(".")), port
    return tuple(host.split(".")), ""


def _canonical(text: str, host: str, path: str) -> tuple[str, tuple[str, ...]]:
    """Return the glob's registry as references have it, and what a reference puts before its path.

    The glob is read as a reference, wildcards replaced by a letter; MalformedError where it could never match one.
    """
    if not ("." in host or ":" in host or host.lower() == "localhost"):
        raise MalformedError(f"{quote(text)} does not begin with a registry host; write {DOCKER_HUB}/… for Docker Hub")
    if ":" in path or "@" in path:
        raise MalformedError(f"{quote(text)} names a tag or a digest; globs match repositories only")
    plain = path.replace("**", _PLACEHOLDER).replace("*", _PLACEHOLDER)
    try:
        reference = Reference.parse(f"{host.replace('*', _PLACEHOLDER)}/{plain}")
    except MalformedError as error:
        raise MalformedError(
            f"{quote(text)} is not a repository glob: write HOST/PATH, or ** for every image"
        ) from error
    # An image of Docker Hub without a namespace is in "library"; ** stands for that segment, too.
    added = reference.repository != plain and path != EVERYTHING
    return reference.registry, ("library",) if added else ()


def _match_segments(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Match the groups of segments between ``**`` one after the other, each at its first place: leftmost is enough."""
    groups: list[list[str]] = [[]]
    for part in pattern:
        if part == "**":
            groups.append([])
        else:
            groups[-1].append(part)
    first, *rest = groups
    if not rest:
        return len(segments) == len(first) and _match_at(first, segments, 0)
    *middle, last = rest
    end = len(segments) - len(last)
    position = len(first)
    # Every ** takes at least one segment.
    if end < position + 1 or not _match_at(first, segments, 0) or not _match_at(last, segments, end):
        return False
    for group in middle:
        places = range(position + 1, end - len(group))
        found = next((place for place in places if _match_at(group, segments, place)), None)
        if found is None:
            return False
        position = found + len(group)
    return True


def _match_at(group: Sequence[str], segments: Sequence[str], position: int) -> bool:
    window = segments[position : position + len(group)]
    return len(window) == len(group) and all(map(match_text, group, window))
