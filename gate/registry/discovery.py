"""Discovery: everything in a registry that may be a signature of a digest.

Three places are asked at once: the tag ``sha256-<hex>.sig``, the referrers API (distribution-spec v1.1, "Listing
Referrers") and the referrers fallback tag. Each manifest found there is classified by its own content, because the
annotations and types in an index are anybody's word. What is found in one place does not depend on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from gate.core import formats, limits
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import Descriptor, Index, Manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Evidence, RefusedCandidate
from gate.registry.client import Document
from gate.registry.referrers import Listed

UNKNOWN_FORMAT = "unknown"
GRACE_SECONDS = 0.25  # after the deadline, for a client to say what kept it
READING_SECONDS = 0.5  # after the last answer, to read what came: all of it takes 0.8 s where somebody saw to that

T = TypeVar("T")


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


@dataclass(slots=True)
class Discovery:
    """One search for the signatures of one digest.

    Requests run on ``executor``, so that those of one question run at once; only the thread that calls run() touches
    the state, and it must not be one of the executor's own.
    """

    client: Client
    repository: str
    digest: Digest
    deadline: Deadline
    executor: Executor
    _unreadable: list[UnavailableError] = field(default_factory=list)
    _refused: list[RefusedCandidate] = field(default_factory=list)
    # What the tag names has no size that is known before: until it is read, it has the most that it may have.
    _budget: int = limits.EVIDENCE_BYTES - limits.MANIFEST_BYTES

    def run(self) -> Evidence:
        """Return every candidate, and everything that was asked for and could not be read. Nothing is raised."""
        tag = self._start(self._tagged)
        api = self._start(lambda: self.client.referrers_api(self.repository, self.digest, self.deadline))
        fallback = self._start(lambda: self.client.referrers_tag(self.repository, self.digest, self.deadline))
        # The referrers' manifests are asked for as soon as they are known; a slow tag does not hold them up.
        listed = self._listed((self._wait(api, "the referrers API"), self._wait(fallback, "the referrers tag")))
        referred = [(descriptor, self._start(self._fetcher(descriptor))) for descriptor in listed]
        found = [self._wait(tag, self._signature_location)]
        found += [self._wait(future, _referrer(descriptor), pushed=True) for descriptor, future in referred]
        self._budget += limits.MANIFEST_BYTES - (0 if found[0] is None else found[0].size)
        candidates = self._read([item for item in found if item is not None])
        return Evidence((*candidates, *self._refused), tuple(self._unreadable))

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
        """Return the distinct descriptors in a stable order, at most as many as are fetched for one digest."""
        # By digest and size, because a fallback index may list a good manifest with a wrong size. The small ones come
        # first, because signatures are small: what else was pushed does not use up the limits before them.
        unique: dict[tuple[int, Digest], Descriptor] = {}
        for found in lists:
            if found is not None:
                self._budget -= found.size
                unique |= {(descriptor.size, descriptor.digest): descriptor for descriptor in found.descriptors}
        ordered = tuple(unique[key] for key in sorted(unique))
        if len(ordered) > limits.CANDIDATES:
            message = f"{len(ordered)} referrers are listed, more than {limits.CANDIDATES}"
            self._unreadable.append(UnavailableError(Reason.LIMIT, message))
        return tuple(item for item in ordered[: limits.CANDIDATES] if self._reserve(item.size))

    def _reserve(self, size: int) -> bool:
        """Take ``size`` bytes from what may be fetched for one digest, or record that they are too many."""
        if size > self._budget:
            message = f"its signatures have more than {limits.EVIDENCE_BYTES} bytes in all"
            self._unreadable.append(UnavailableError(Reason.LIMIT, message))
            return False
        self._budget -= size
        return True

    def _read(self, found: Sequence[_Found]) -> list[Candidate]:
        """Fetch what the formats want of all manifests at once, and read the candidates, at most 256."""
        wanted = [
            (item, form, self._wanted(item, form)) for item in found if (form := formats.recognise(item.manifest))
        ]
        # By digest and size again: a wrong size in one manifest must not keep another one's document from being read.
        unique = {(item.digest, item.size): item for _, _, descriptors in wanted for item in descriptors}
        pending = [(item.digest, self._start(self._blob_fetcher(item))) for item in unique.values()]
        waited = [(digest, self._wait(future, f"blob {digest}", pushed=True)) for digest, future in pending]
        documents = {digest: data for digest, data in waited if data is not None}
        candidates: list[Candidate] = []
        # A time of its own: whatever was waited for in vain until the deadline, what did come is read.
        reading = Deadline.after(READING_SECONDS, self.deadline.clock)
        for item, form, descriptors in wanted:
            if len(candidates) > limits.CANDIDATES_READ:
                break
            if reading.passed(0.0):  # how much there is to read is up to whoever pushed it
                message = "there was no time left to read every signature"
                self._unreadable.append(UnavailableError(Reason.DEADLINE, message))
                break
            own = {each.digest: documents[each.digest] for each in descriptors if each.digest in documents}
            candidates += form.read(item.manifest, item.location, own)
        if len(candidates) > limits.CANDIDATES_READ:
            message = f"more than {limits.CANDIDATES_READ} signatures are stored for it"
            self._unreadable.append(UnavailableError(Reason.LIMIT, message))
        return candidates[: limits.CANDIDATES_READ]

    def _wanted(self, item: _Found, form: formats.Format) -> tuple[Descriptor, ...]:
        """Return what the format wants of one manifest, as far as there are bytes left.

        Each mention counts, not each document: many layers may share one blob, and each makes a candidate of its bytes.
        """
        omitted = form.omitted(item.manifest)
        if omitted is not None:
            self._unreadable.append(omitted)
        return tuple(descriptor for descriptor in form.wanted(item.manifest) if self._reserve(descriptor.size))

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
            self._refused.append(RefusedCandidate(UNKNOWN_FORMAT, location, error.reason, error.message))
        except TimeoutError:
            message = "the deadline passed before everything was read"
            self._unreadable.append(UnavailableError(Reason.DEADLINE, message))
        future.cancel()
        return None


def _referrer(descriptor: Descriptor) -> str:
    return f"referrer {descriptor.digest}"
