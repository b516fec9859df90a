"""Lists of referrers: pages of the API and the fallback tag's index (distribution-spec v1.1, "Listing Referrers")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import Descriptor, listed_manifests
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.registry import urls
from gate.registry.urls import Origin

PAGES = 5  # of one list; registries put a hundred entries and more on one
LINK_CHARACTERS = 8192  # a Link header; real ones have a few hundred
QUERY_CHARACTERS = 2048  # of the next page: a cursor
# RFC 8288 section 3, the part that registries use: <target>; name=value; name="value"
_VALUE = r'(?:"[^"\\]*"|[^\s",;<>]+)'
_LINK = re.compile(rf"<([^<>\s]*)>((?:[ \t]*;[ \t]*[A-Za-z*-]+[ \t]*=[ \t]*{_VALUE})*)[ \t]*(?:,[ \t]*|$)", re.ASCII)
_REL = re.compile(rf";[ \t]*rel[ \t]*=[ \t]*({_VALUE})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list names, and how many bytes had to be read to know it."""

    descriptors: tuple[Descriptor, ...] = ()
    size: int = 0


@dataclass(slots=True)
class Entries:
    """The entries of a list, read page by page; ``name`` (quoted) is what they refer to."""

    name: str
    _listed: int = 0
    _size: int = 0
    _found: list[Descriptor] = field(default_factory=list)

    def add(self, page: bytes) -> None:
        """Take the entries of an index; MalformedError when it is none, UnavailableError (limit) for too many entries.

        An entry that is no descriptor (another digest algorithm, say) is left out: it can be no signature that gate
        reads, and whoever pushed it must not hide the others. Their annotations and types are not read at all.
        """
        self._size += len(page)
        index = strictjson.loads_object(page, limit=limits.MANIFEST_BYTES)
        entries = listed_manifests(index)
        self._listed += len(entries)
        if self._listed > limits.INDEX_ENTRIES:
            raise UnavailableError(
                Reason.LIMIT, f"more than {limits.INDEX_ENTRIES} referrers of {self.name} are listed"
            )
        found = (_descriptor(entry) for entry in entries)
        self._found.extend(descriptor for descriptor in found if descriptor is not None)

    @property
    def left(self) -> int:
        """How many bytes the next page may have: all pages of a list are as long as one index may be."""
        return limits.MANIFEST_BYTES - self._size

    def found(self) -> Listed:
        """Return the descriptors of all pages, in their order."""
        return Listed(tuple(self._found), self._size)


def subject_of(raw: bytes) -> Digest | None:
    """Return the digest of the subject that the manifest ``raw`` names, or None where it names none to be read."""
    try:
        subject = strictjson.loads_object(raw, limit=limits.MANIFEST_BYTES).get("subject")
        return None if subject is None else Descriptor.parse(subject, "the manifest's subject").digest
    except MalformedError:
        return None


def _descriptor(entry: strictjson.Json) -> Descriptor | None:
    try:
        fields = strictjson.expect_object(entry, "an entry")
        return Descriptor.parse({key: fields.get(key) for key in ("mediaType", "digest", "size")}, "an entry")
    except MalformedError:
        return None


def next_query(link: str, registry: Origin, page: str) -> str | None:
    """Return the query of the next page, or None when there is none.

    ``link`` is the Link header, ``page`` the path (and query) that was asked. Raises MalformedError for a header that
    cannot be read and for a next page anywhere but at this very endpoint (O13).
    """
    target = _next(link)
    if target is None:
        return None
    base = f"{registry}{page}"
    url = urls.resolve(base, target)
    parts = urls.split(url)
    if Origin.of(url) != registry or unquote(parts.path) != urls.split(base).path:
        raise MalformedError("the next page is not of the same list")
    if not parts.query or len(parts.query) > QUERY_CHARACTERS or parts.fragment:
        raise MalformedError("the next page has no usable query")
    return parts.query


def _next(link: str) -> str | None:
    """Return the target of the link whose relation is "next"."""
    if len(link) > LINK_CHARACTERS:
        raise MalformedError(f"the Link header is longer than {LINK_CHARACTERS} characters")
    targets, at = [], 0
    while at < len(link):
        match = _LINK.match(link, at)
        if match is None:
            raise MalformedError("the Link header cannot be read")
        relation = _REL.search(match[2])
        if relation is not None and "next" in relation[1].strip('"').lower().split():
            targets.append(match[1])
        at = match.end()
    if len(targets) > 1:
        raise MalformedError("the Link header names two next pages")
    return targets[0] if targets else None
