"""Evidence, kept: what was found is looked for once, and every question is decided afresh from it.

Kept are bytes that were hashed here, never a verdict: a revoked key or an edited policy works on what is kept, too.

- Found evidence stays, in a bounded LRU. While it does not satisfy, it is looked for again, at most every 5 s.
- "None found" is found evidence without candidates: it is believed for 5 s.
- What an index lists stays, too: bytes with its digest never list anything else. What a tag names is looked at again
  after 5 s, and stands while the registry cannot say.
- What could not be read is not kept: the next question asks again. That more is stored than is read is an answer,
  and kept like one: asked again at once, it would be the same.
- Questions about one digest at one time share a search. It has a deadline of its own; whoever waits leaves at theirs.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.manifests import parse_manifest
from gate.core.oci import Digest
from gate.core.platforms import Listing
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate, UntrustedSignature
from gate.registry.discovery import Client, Discovery
from gate.registry.listings import KeptListing, ListingStore
from gate.registry.room import Room

LOOK_AGAIN_SECONDS = 5.0  # a third of Config Sync's poll: a new signature is seen at the next one
SEARCH_SECONDS = 7.0  # one search, whoever waits for it; a second less than the longest review, which hears its end
SEARCHES_AT_ONCE = 64  # of one process; none waits for a thread, so that a search's time is the registry's
SEARCHES_PER_HOST = 24  # one silent registry leaves room for the others
SEARCHES_PER_REPOSITORY = 16  # whoever may push to one leaves room for the other repositories of its host
ENTRIES = 4096  # digests; a cluster syncs as many images as it has RootSyncs and RepoSyncs
KEPT_BYTES = 16 * limits.MIB  # signed bytes and signatures of all entries; one signature has about 1 KiB
ENTRY_SHARE = 16  # an entry of more than a 16th of that is not kept: it would push out too many others
ENTRY_BYTES = 256  # counted for an entry besides its signatures, so that empty ones are not free
UNSIGNED_SHARE = 4  # digests without signatures take up to a 4th of those bytes besides: thousands of them fit
LIMITS_KEPT = 16  # of what is above a limit; more of it is more of the same

Key = tuple[str, str, Digest]  # registry host, repository, digest
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """Evidence that was found, and when the registry was last asked for all of it (seconds, monotonic)."""

    evidence: Evidence
    looked_at: float


class _Entries:
    """Evidence by digest, the least recently used first; bounded in entries and bytes."""

    def __init__(self, most: int, size: int) -> None:
        self.size = size
        self._most = most
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key) -> Kept | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Key, kept: Kept) -> None:
        self._kept[key] = kept
        self._bytes += _weight(kept)
        while len(self._kept) > self._most or self._bytes > self.size:
            self.pop(next(iter(self._kept)))

    def pop(self, key: Key) -> Kept | None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._bytes -= _weight(dropped)
        return dropped


class EvidenceStore:
    """What was found, for all registries; thread safe, bounded in entries and bytes."""

    def __init__(self, clock: Callable[[], float], entries: int = ENTRIES, size: int = KEPT_BYTES) -> None:
        """Start empty; ``clock`` is monotonic, in seconds."""
        self.clock = clock
        self.listings = ListingStore()
        self._kept = _Entries(entries, size)
        self._without = _Entries(entries, size // UNSIGNED_SHARE)  # a place of their own: digests without signatures
        self._lock = threading.Lock()

    def get(self, key: Key) -> Kept | None:
        """Return what is kept, and make it the last to go."""
        with self._lock:
            return self._kept.get(key) or self._without.get(key)

    def put(self, key: Key, kept: Kept) -> None:
        """Keep the evidence in place of what was there; the least recently used entries make room.

        Anybody can ask about digests that nobody signed, so those push out only their like. Of evidence that is too
        heavy, which anybody can make it who may push, a part is kept.
        """
        with self._lock:
            self._without.pop(key)
            before = self._kept.pop(key)
            signed = bool(_signed(kept.evidence))
            entries = self._kept if signed else self._without
            if _weight(kept) > entries.size // ENTRY_SHARE:
                kept = _lightened(kept, Evidence() if before is None else before.evidence, entries.size // ENTRY_SHARE)
                if not kept.evidence.candidates:
                    return
            entries.put(key, kept)


def _lightened(kept: Kept, before: Evidence, weight: int) -> Kept:
    """Return as much of it as weighs no more than ``weight``: what was kept ``before``, then the smallest signatures.

    It is not all that there is, so all of it is asked for again at the next question.
    """
    known = {item.fingerprint for item in _signed(before)}
    chosen: list[UntrustedSignature] = []
    left = weight - ENTRY_BYTES
    for item in sorted(_signed(kept.evidence), key=lambda item: (item.fingerprint not in known, item.size)):
        left -= ENTRY_BYTES + item.size
        if left < 0:
            break
        chosen.append(item)
    return Kept(Evidence(tuple(chosen)), float("-inf"))


def _weight(kept: Kept) -> int:
    found = kept.evidence
    signed = sum(item.size for item in _signed(found))
    refused = sum(len(item.message) for item in found.candidates if isinstance(item, RefusedCandidate))
    problems = sum(len(error.message) for error in found.unreadable)
    return ENTRY_BYTES * (1 + len(found.candidates) + len(found.unreadable)) + signed + refused + problems


@dataclass(slots=True)
class Flights:
    """The searches that are under way, one for each digest, and looks at what a digest or tag names; thread safe.

    ``executor`` has a thread for each of ``limit`` searches, and what they fetch shares a ``room``.
    """

    executor: Executor
    limit: int = SEARCHES_AT_ONCE
    per_host: int = SEARCHES_PER_HOST
    per_repository: int = SEARCHES_PER_REPOSITORY
    room: Room = field(default_factory=Room)
    _flying: dict[Key | tuple[str, str, str], Future[object]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self, key: Key | tuple[str, str, str], search: Callable[[], T]) -> Future[T]:
        """Return the search for ``key`` that is under way, or start this one; UnavailableError (busy) above a limit.

        Keys tell by their kind what is searched for: a digest's evidence, or what a name (text) names.
        """
        with self._lock:
            flight = self._flying.get(key)
            if flight is None:
                there = [repository for host, repository, _ in self._flying if host == key[0]]
                of_one = there.count(key[1])
                if len(self._flying) >= self.limit or len(there) >= self.per_host or of_one >= self.per_repository:
                    message = f"{len(there)} searches at {key[0]} are under way already, {of_one} of this repository"
                    raise UnavailableError(Reason.BUSY, message)
                flight = self._flying[key] = self.executor.submit(self._fly, key, search)
            return cast("Future[T]", flight)

    def _fly(self, key: Key | tuple[str, str, str], search: Callable[[], T]) -> T:
        try:
            return search()
        finally:
            with self._lock:
                del self._flying[key]


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """One registry as the service sees it: asked through ``client``, remembered in ``store``."""

    host: str
    client: Client
    store: EvidenceStore
    flights: Flights
    requests: Executor

    def known_listing(self, repository: str, name: Digest | str) -> Listing | None:
        """Return what a digest or a tag is known to list, or to have listed, without asking anybody, or None."""
        kept = self.store.listings.get((self.host, repository, str(name)))
        return None if kept is None else kept.listing

    def expect_listing(self, repository: str, digest: Digest) -> None:
        """Begin to find out what the digest lists, so that listing() need not wait as long."""
        with contextlib.suppress(UnavailableError):  # whoever asks for it is told
            self._look(repository, digest)

    def listing(self, repository: str, name: Digest | str, deadline: Deadline) -> Listing | None:
        """Return what a digest lists, or what a tag names now, or None when the registry says there is none.

        Raises MalformedError for what is no manifest, and UnavailableError when the registry cannot say, and has not
        said before. A tag that was looked at less than 5 s ago is not asked for again.
        """
        current = self._current_listing(repository, name)
        if current is not None:
            return current
        try:
            return _await(self._look(repository, name), deadline)
        except UnavailableError:
            known = self.known_listing(repository, name)
            if known is None:
                raise
            return known

    def _current_listing(self, repository: str, name: Digest | str) -> Listing | None:
        """Return what is kept where it need not be looked at again."""
        kept = self.store.listings.get((self.host, repository, str(name)))
        if kept is None or not (isinstance(name, Digest) or self._is_fresh(kept.looked_at)):
            return None
        return kept.listing

    def _look(self, repository: str, name: Digest | str) -> Future[Listing | None]:
        key = (self.host, repository, str(name))

        def look() -> Listing | None:
            current = self._current_listing(repository, name)
            if current is not None:  # another look ended in between
                return current
            document = self.client.manifest(repository, name, Deadline.after(SEARCH_SECONDS, self.store.clock))
            self.store.listings.drop(key)  # what the tag named before, it names no more
            if document is None:
                return None
            listing = Listing.of(parse_manifest(document.raw, document.media_type))
            self.store.listings.put(key, KeptListing(listing, self.store.clock()))
            return listing

        return self.flights.join(key, look)

    def known(self, repository: str, digest: Digest) -> Evidence | None:
        """Return what is kept about the digest, without asking anybody, or None."""
        kept = self.store.get((self.host, repository, digest))
        return None if kept is None else kept.evidence

    def evidence(self, repository: str, digest: Digest, deadline: Deadline) -> Evidence:
        """Return everything that can be found about the digest now, and what could not be read. Nothing is raised.

        What was asked for completely less than 5 s ago is not asked for again. What a search could not read is filled
        from what is kept, and stays in ``unreadable``.
        """
        key = (self.host, repository, digest)
        kept = self.store.get(key)
        if kept is not None and self._is_fresh(kept.looked_at):
            return kept.evidence
        try:
            found = _await(self.flights.join(key, lambda: self._search(key)), deadline)
        except UnavailableError as error:
            found = Evidence(unreadable=(error,))
        return found if kept is None else _merged(found, kept.evidence)

    def _is_fresh(self, looked_at: float) -> bool:
        return self.store.clock() - looked_at < LOOK_AGAIN_SECONDS

    def _search(self, key: Key) -> Evidence:
        kept = self.store.get(key)
        if kept is not None and self._is_fresh(kept.looked_at):
            # Another search ended after whoever asks for this one had looked, and before it was begun.
            return kept.evidence
        _, repository, digest = key
        deadline = Deadline.after(SEARCH_SECONDS, self.store.clock)
        found = Discovery(
            self.client, repository, digest, deadline, self.requests, self.flights.room.of(self.host)
        ).run()
        kept = self.store.get(key)
        known = kept.evidence if kept is not None else Evidence()
        if all(error.reason is Reason.LIMIT for error in found.unreadable):
            # Not the errors themselves, which keep the frames they were raised through, and with them whole documents.
            messages = sorted({error.message for error in found.unreadable})[:LIMITS_KEPT]
            limits_met = tuple(UnavailableError(Reason.LIMIT, message) for message in messages)
            self.store.put(key, Kept(replace(_merged(found, known), unreadable=limits_met), self.store.clock()))
        elif found.candidates:
            # Part of it was read. That much stays, and all of it is asked for again at the next question.
            self.store.put(key, Kept(replace(_merged(found, known), unreadable=()), float("-inf")))
        return found


def _await(flight: Future[T], deadline: Deadline) -> T:
    """Return what the flight brings, or raise what it raises, or UnavailableError where there is no time for it.

    Who comes with too little time has learnt nothing about the registry: that is no outage.
    """
    try:
        left = deadline.remaining()
    except UnavailableError as error:
        raise UnavailableError(error.reason, error.message) from error
    try:
        return flight.result(left)
    except TimeoutError as error:
        message = "the deadline passed before the registry had answered"
        raise UnavailableError(Reason.DEADLINE, message) from error


def _merged(found: Evidence, known: Evidence) -> Evidence:
    """Return what was found, and the signatures known from before where something could not be read."""
    if not found.unreadable:
        return found
    signed = dict.fromkeys((*_signed(found), *_signed(known)))
    refused = (item for item in found.candidates if not isinstance(item, UntrustedSignature))
    return Evidence((*tuple(signed)[: limits.CANDIDATES_KEPT], *refused), found.unreadable)


def _signed(evidence: Evidence) -> tuple[UntrustedSignature, ...]:
    return tuple(item for item in evidence.candidates if isinstance(item, UntrustedSignature))
