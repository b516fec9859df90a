"""Discovery: everything in a registry that may be a signature of a digest.

Three places are asked at once: the tag ``sha256-<hex>.sig``, the referrers API (distribution-spec v1.1, "Listing
Referrers") and the referrers fallback tag. Each manifest found there is classified by its own content, because the
annotations and types in an index are anybody's word. What is found in one place does not depend on another.

What takes little comes first everywhere: signatures are small, and what else was pushed is to take neither place nor
time nor memory before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from gate.core import formats, limits
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import Descriptor, Index, Manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Evidence, RefusedCandidate, UntrustedSignature
from gate.registry.client import Document
from gate.registry.referrers import Listed
from gate.registry.room import OWN_BYTES, Room, Share

UNKNOWN_FORMAT = "unknown"
GRACE_SECONDS = 0.25  # after the deadline, for a client to say what kept it
READING_SECONDS = 0.5  # after the last answer, to read what came: all of it takes 0.8 s where somebody saw to that
TOO_LATE = "the deadline passed before everything was read"
REFUSED_SHOWN = limits.CANDIDATES  # refused candidates that are told one by one; each says up to 2 KiB

T = TypeVar("T")
C = TypeVar("C", bound=Candidate)


class Client(Protocol):
    """What discovery asks of a registry; RegistryClient is the real one."""

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        """Return the manifest of at most ``limit`` bytes, or None when the registry says that there is none."""

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        """Return the blob."""

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
        """Return what the referrers API lists, or None when the registry has none."""

    def referrers_tag(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what the referrers fallback tag lists."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest that may hold candidates."""

    location: str
    manifest: Manifest
    size: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A manifest that does hold candidates, and what its format wants of it."""

    found: _Found
    form: formats.Format
    descriptors: tuple[Descriptor, ...]

    @classmethod
    def of(cls, found: _Found) -> _Wanted | None:
        """Return it, or None for a manifest of no format."""
        form = formats.recognise(found.manifest)
        return None if form is None else cls(found, form, form.wanted(found.manifest))

    @property
    def asked(self) -> tuple[int, int, Digest]:
        """For the order in which bytes are given out: how many it wants, and what tells equals apart."""
        return sum(each.size for each in self.descriptors), self.found.size, self.found.manifest.digest

    @property
    def cost(self) -> tuple[int, Digest]:
        """For the order in which candidates are read: how many bytes that takes, and what tells equals apart."""
        return sum(each.size for each in self.descriptors) + self.found.size, self.found.manifest.digest


@dataclass(slots=True)
class Discovery:
    """One search for the signatures of one digest.

    Requests run on ``executor``, so that those of one question run at once; only the thread that calls run() touches
    the state, and it must not be one of the executor's own. ``room`` is shared with the other searches of a process.
    """

    client: Client
    repository: str
    digest: Digest
    deadline: Deadline
    executor: Executor
    room: Share = field(default_factory=lambda: Room().of(""))
    # Each with its number in its manifest.
    _signatures: list[tuple[int, UntrustedSignature]] = field(default_factory=list)
    _refused: list[tuple[int, RefusedCandidate]] = field(default_factory=list)
    _unreadable: list[UnavailableError] = field(default_factory=list)
    _omitted: set[tuple[Reason, str]] = field(default_factory=set)
    # What the tag names has no size that is known before: until it is read, it has the most that it may have.
    _budget: int = limits.EVIDENCE_BYTES - limits.MANIFEST_BYTES
    _own: int = OWN_BYTES
    _borrowed: int = 0

    def run(self) -> Evidence:
        """Return every candidate, and everything that was asked for and could not be read. Nothing is raised."""
        try:
            return self._run()
        finally:
            self.room.give(self._borrowed)

    def _run(self) -> Evidence:
        tag = self._start(self._tagged)
        api = self._start(lambda: self.client.referrers_api(self.repository, self.digest, self.deadline))
        fallback = self._start(lambda: self.client.referrers_tag(self.repository, self.digest, self.deadline))
        listed = self._listed((self._wait(api, "the referrers API"), self._wait(fallback, "the referrers tag")))
        light, heavy = _divided(listed)
        # The referrers' manifests are asked for as soon as they are known; a slow tag does not hold them up.
        referring = self._ask(light)
        tagged = self._wait(tag, self._signature_location)
        self._budget += limits.MANIFEST_BYTES - (0 if tagged is None else tagged.size)
        self._budget -= sum(descriptor.size for descriptor in light)
        self._read(tagged, self._answers(referring))
        # Only now: before, they would keep a slow line busy.
        self._read(None, self._answers(self._ask(self._affordable(heavy))))
        if len(self._signatures) > limits.CANDIDATES_READ:
            self._omit(f"more than {limits.CANDIDATES_READ} signatures are stored for it")
        signatures = _fairly(self._signatures, limits.CANDIDATES_READ)
        return Evidence((*signatures, *self._shown()), tuple(self._unreadable))

    @property
    def _signature_location(self) -> str:
        return f"tag {self.digest.tag}.sig"

    def _tagged(self) -> _Found | None:
        document = self.client.manifest(self.repository, f"{self.digest.tag}.sig", self.deadline)
        if document is None:
            return None
        manifest = formats.parse_candidate(document.raw, document.media_type)
        if isinstance(manifest, Index):
            raise MalformedError("it is an index where a signature manifest should be")
        return _Found(self._signature_location, manifest, len(document.raw))

    def _fetcher(self, descriptor: Descriptor) -> Callable[[], _Found | None]:
        def fetch() -> _Found | None:
            limit = min(descriptor.size, limits.MANIFEST_BYTES)
            document = self.client.manifest(self.repository, descriptor.digest, self.deadline, limit=limit)
            # An index may still list what has been deleted: the registry says that it is not there.
            if document is None:
                return None
            if len(document.raw) != descriptor.size:
                raise MalformedError("the index that lists it gives another size")
            manifest = formats.parse_candidate(document.raw, document.media_type)
            # An index may refer to an image as anything may; no signature is stored as one.
            return None if isinstance(manifest, Index) else _Found(_referrer(descriptor), manifest, len(document.raw))

        return fetch

    def _listed(self, lists: Iterable[Listed | None]) -> tuple[Descriptor, ...]:
        """Return the distinct descriptors in a stable order, at most as many as are fetched for one digest.

        What the API lists comes before what only the fallback tag does, where one push can name anything.
        """
        # By digest and size, because a fallback index may list a good manifest with a wrong size.
        unique: dict[tuple[int, Digest], tuple[int, Descriptor]] = {}
        for place, found in enumerate(lists):
            if found is not None:
                self._budget -= found.size
                for descriptor in found.descriptors:
                    unique.setdefault((descriptor.size, descriptor.digest), (place, descriptor))
        ordered = sorted(unique.values(), key=lambda each: (each[0], each[1].size, each[1].digest))
        if len(ordered) > limits.CANDIDATES:
            self._omit(f"{len(ordered)} referrers are listed, more than {limits.CANDIDATES}")
        return tuple(item for _, item in ordered[: limits.CANDIDATES])

    def _ask(self, referrers: Sequence[Descriptor]) -> list[tuple[Descriptor, Future[_Found | None]]]:
        return [(descriptor, self._start(self._fetcher(descriptor))) for descriptor in referrers]

    def _answers(self, asked: Sequence[tuple[Descriptor, Future[_Found | None]]]) -> list[_Found]:
        waited = [self._wait(future, _referrer(descriptor), pushed=True) for descriptor, future in asked]
        return [found for found in waited if found is not None]

    def _affordable(self, referrers: Sequence[Descriptor]) -> list[Descriptor]:
        """Return those for which there are bytes, and time."""
        affordable = [descriptor for descriptor in referrers if self._reserve(descriptor.size)]
        return affordable if affordable and self._in_time() else []

    def _in_time(self) -> bool:
        over = self._is_over()  # asked once: what is not asked for has to be told
        if over:
            self._omit(TOO_LATE, Reason.DEADLINE)
        return not over

    def _reserve(self, size: int) -> bool:
        """Take ``size`` bytes from what may be fetched for one digest, or record that there is no room for them."""
        if size > self._budget:
            self._omit(f"its signatures have more than {limits.EVIDENCE_BYTES} bytes in all")
            return False
        if size <= self._own:
            self._own -= size
        elif self.room.take(size):
            self._borrowed += size
        else:
            self._omit("gate reads too much at this moment", Reason.BUSY)
            return False
        self._budget -= size
        return True

    def _omit(self, message: str, reason: Reason = Reason.LIMIT) -> None:
        """Record, once, that something is not read; whatever else is recorded, that is no outage."""
        if (reason, message) not in self._omitted:
            self._omitted.add((reason, message))
            self._unreadable.append(UnavailableError(reason, message))

    def _read(self, tagged: _Found | None, referring: Sequence[_Found]) -> None:
        """Fetch what the formats want of all manifests at once, and read the candidates."""
        found = [*referring] if tagged is None else [tagged, *referring]
        wanted = [wanted for each in found if (wanted := _Wanted.of(each))]
        if not wanted:
            return
        # What was fetched already asks for nothing: a tag keeps certificates in its manifest, and little beside it.
        wanted.sort(key=lambda each: each.asked)
        fetched = zip(wanted, self._fetch([self._reserved(each) for each in wanted]), strict=True)
        # A time of its own: whatever was waited for in vain until the deadline, what did come is read.
        reading = Deadline.after(READING_SECONDS, self.deadline.clock)
        for each, own in sorted(fetched, key=lambda pair: pair[0].cost):
            if reading.passed(0.0):  # how much there is to read is up to whoever pushed it
                self._omit("there was no time left to read every signature", Reason.DEADLINE)
                break
            read = each.form.read(each.found.manifest, each.found.location, own)
            signatures = [item for item in read if isinstance(item, UntrustedSignature)]
            if each.found is tagged:  # the tag's come first, and all of them
                self._signatures[:0] = ((0, item) for item in signatures)
            else:
                self._signatures += enumerate(signatures)
            self._refused += enumerate(item for item in read if isinstance(item, RefusedCandidate))

    def _reserved(self, wanted: _Wanted) -> tuple[Descriptor, ...]:
        """Return what is wanted of one manifest, as far as there are bytes left.

        Each mention counts, not each document: many layers may share one blob, and each makes a candidate of its bytes.
        """
        omitted = wanted.form.omitted(wanted.found.manifest)
        if omitted is not None:
            self._unreadable.append(omitted)
        return tuple(descriptor for descriptor in wanted.descriptors if self._reserve(descriptor.size))

    def _fetch(self, asked: Sequence[tuple[Descriptor, ...]]) -> list[dict[Digest, bytes]]:
        """Return for each manifest the documents that came, by their digests."""
        # By digest and size again: a wrong size in one manifest must not keep another one's document from being read.
        unique = {(item.digest, item.size): item for descriptors in asked for item in descriptors}
        in_time = unique.values() if unique and self._in_time() else ()
        pending = [(item.digest, self._start(self._blob_fetcher(item))) for item in in_time]
        waited = [(digest, self._wait(future, f"blob {digest}", pushed=True)) for digest, future in pending]
        documents = {digest: data for digest, data in waited if data is not None}
        return [
            {each.digest: documents[each.digest] for each in descriptors if each.digest in documents}
            for descriptors in asked
        ]

    def _shown(self) -> list[RefusedCandidate]:
        """Return what was refused, or as much of it as anybody reads, with the number of the others."""
        shown = _fairly(self._refused, REFUSED_SHOWN)
        others = len(self._refused) - len(shown)
        if others:
            shown[-1] = replace(shown[-1], message=f"{shown[-1].message}; {others} more were refused and are not shown")
        return shown

    def _blob_fetcher(self, descriptor: Descriptor) -> Callable[[], bytes]:
        return lambda: self.client.blob(self.repository, descriptor, limits.BUNDLE_BYTES, self.deadline)

    def _start(self, task: Callable[[], T]) -> Future[T]:
        def run() -> T:
            if self._is_over():
                # It waited for a thread all the time: that is gate's own queue, and no outage of anybody.
                raise UnavailableError(Reason.BUSY, "gate asks too many things at this moment")
            return task()

        return self.executor.submit(run)

    def _is_over(self) -> bool:
        return self.deadline.clock() >= self.deadline.at

    def _wait(self, future: Future[T], location: str, *, pushed: bool = False) -> T | None:
        """Return the answer, or None with what went wrong recorded.

        Only the client knows an outage when it meets one, so it is given a moment longer than the deadline to say so.
        Whether what was ``pushed`` can be read, in time and within a quota, is up to whoever pushed it. It is never an
        outage: else many large or odd referrers would open a rule that says onUnavailable: allow.
        """
        try:
            return future.result(max(self.deadline.at + GRACE_SECONDS - self.deadline.clock(), 0.0))
        except UnavailableError as error:
            self._unreadable.append(UnavailableError(error.reason, error.message) if pushed else error)
        except MalformedError as error:
            self._refused.append((0, RefusedCandidate(UNKNOWN_FORMAT, location, error.reason, error.message)))
        except TimeoutError:
            self._omit(TOO_LATE, Reason.DEADLINE)
        future.cancel()
        return None


def _referrer(descriptor: Descriptor) -> str:
    return f"referrer {descriptor.digest}"


def _divided(referrers: Sequence[Descriptor]) -> tuple[list[Descriptor], list[Descriptor]]:
    """Return the manifests that each search may have whatever the others do, and those that are too large for that."""
    light: list[Descriptor] = []
    heavy: list[Descriptor] = []
    left = OWN_BYTES
    for descriptor in referrers:
        if descriptor.size <= left:
            left -= descriptor.size
            light.append(descriptor)
        else:
            heavy.append(descriptor)
    return light, heavy


def _fairly(numbered: Sequence[tuple[int, C]], most: int) -> list[C]:
    """Return at most so many in their order: the first of each manifest before the second of any.

    So no manifest with many of them keeps another one's from being looked at.
    """
    chosen = sorted(range(len(numbered)), key=lambda place: numbered[place][0])[:most]
    return [numbered[place][1] for place in sorted(chosen)]
