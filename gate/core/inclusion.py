"""What matches less than something else, proved from the patterns alone.

True is certain; false only says that these rules prove nothing. A ``*`` of the inner pattern can be any text. As a
character it stands for that: nothing literal in a pattern is a ``*``, so only a ``*`` of the outer one takes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.globs import EVERYTHING, ImageGlob, match_text
from gate.core.policy import Match


def text_within(inner: str, outer: str) -> bool:
    """Return whether every text that matches ``inner`` matches ``outer``."""
    return match_text(outer, inner)


def glob_within(inner: ImageGlob, outer: ImageGlob) -> bool:
    """Return whether every image that matches ``inner`` provably matches ``outer``."""
    if outer.host is None:
        return True
    if inner.host is None or inner.port != outer.port or len(inner.host) != len(outer.host):
        return False
    return all(map(text_within, inner.host, outer.host)) and _path_within(inner.path, outer.path)


def _path_within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Follow how many segments of ``inner`` the outer ones can have taken; its ``**`` is taken by ``**`` alone."""
    taken = {0}
    for segment in outer:
        if segment == EVERYTHING:
            taken = set(range(min(taken) + 1, len(inner) + 1))
        else:
            taken = {at + 1 for at in taken if at < len(inner) and _segment_within(inner[at], segment)}
        if not taken:
            return False
    return len(inner) in taken


def _segment_within(inner: str, outer: str) -> bool:
    return inner != EVERYTHING and text_within(inner, outer)


def match_within(inner: Match, outer: Match) -> bool:
    """Return whether every question that ``inner`` is about is provably one that ``outer`` is about."""
    return (
        all(any(glob_within(glob, wider) for wider in outer.images) for glob in inner.images)
        and _listed_within(inner.kinds, outer.kinds)
        and _texts_within(inner.namespaces, outer.namespaces)
        and _texts_within(inner.names, outer.names)
        and _listed_within(inner.digests, outer.digests)
    )


def _listed_within(inner: Sequence[object], outer: Sequence[object]) -> bool:
    """Compare what is listed literally; an empty list is about everything."""
    return not outer or (bool(inner) and all(each in outer for each in inner))


def _texts_within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    return not outer or (bool(inner) and all(any(text_within(each, wider) for wider in outer) for each in inner))
