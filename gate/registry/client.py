"""The read-only client of one registry (distribution-spec v1.1): bytes that were hashed here, or an error.

Of oras this keeps the base classes and the registry's session; nothing inherited reaches the wire.
"""

from __future__ import annotations

import dataclasses
from typing import NoReturn

import oras.provider

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest, Reference
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import referrers
from gate.registry.auth import Authentication
from gate.registry.breaker import Breaker
from gate.registry.exchange import (
    FORBIDDEN,
    NOT_FOUND,
    OK,
    UNAUTHORIZED,
    Patience,
    Question,
    Routes,
    check_status,
    follow,
    persist,
    status_error,
)
from gate.registry.referrers import Listed
from gate.registry.transport import Answer, ReadOnlySession
from gate.registry.urls import Origin

ACCEPTED = f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
# What registries without the referrers API answer it with: distribution-spec v1.1 "Unavailable Referrers API" (404),
# and what go-containerregistry takes for the same.
_NO_REFERRERS_API = frozenset({400, 404, 405, 406})


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as bytes that were hashed here; ``media_type`` is what the registry says, if anything."""

    digest: Digest
    media_type: str | None
    raw: bytes


class RegistryClient(oras.provider.Registry):  # type: ignore[misc]  # oras carries no types
    """One registry; thread safe. Whatever oras would ask by itself, raises NotImplementedError.

    Every method raises UnavailableError when the registry cannot be asked or does not give the bytes that were asked
    for, and MalformedError for a repository or tag that the grammar of references does not have (O16).
    """

    def __init__(self, host: str, routes: Routes, auth: Authentication, patience: Patience, breaker: Breaker) -> None:
        """Ask the registry that references call ``host``, by ``routes``, with the credentials of ``auth``."""
        super().__init__(hostname=host, insecure=routes.origin.scheme == "http")
        self.session: ReadOnlySession = routes.own.session  # what oras makes has never connected
        self.auth = auth
        self._routes = routes
        self._patience = patience
        self._breaker = breaker

    @property
    def origin(self) -> Origin:
        """Where the registry is asked."""
        return self._routes.origin

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        """Return the manifest or index, or None when the registry says with a 404 of its own that there is none.

        Its own: given by the origin that was asked, over its own TLS, and gate uses no proxies. A 404 that another host
        gives after a redirect says nothing about the registry and is an error.
        A manifest asked for by digest has that digest; by tag, it has the one that the registry names, if it does.
        One of more than ``limit`` bytes is not read: UnavailableError (limit).
        """
        name = self._name(repository, reference)
        pushed = isinstance(reference, Digest)
        path = f"/v2/{repository}/manifests/{reference}"
        question = Question(path, ACCEPTED, limit, repository, name, pushed)
        answer = self._ask(question, deadline)
        if answer.status == NOT_FOUND and not answer.elsewhere:
            return None
        self._check(answer, question, deadline)
        digest = Digest.of(answer.body)
        expected = str(reference) if isinstance(reference, Digest) else answer.headers.get("Docker-Content-Digest", "")
        if expected.startswith("sha256:") and expected != str(digest):
            raise self._wrong(name, f"bytes with the digest {digest}")
        return Document(digest, answer.media_type, answer.body)

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        """Return the bytes that ``descriptor`` names, digest and size compared; above ``limit``: UnavailableError."""
        name = self._name(repository, descriptor.digest)
        if descriptor.size > limit:
            raise UnavailableError(
                Reason.LIMIT, f"the blob {name} has {descriptor.size} bytes, more than the {limit} that gate reads"
            )
        # One byte more than announced, to tell a body of the wrong size from one that never ends.
        path = f"/v2/{repository}/blobs/{descriptor.digest}"
        question = Question(path, "*/*", descriptor.size + 1, repository, name, pushed=True)
        answer = self._ask(question, deadline)
        self._check(answer, question, deadline)
        if len(answer.body) != descriptor.size:
            raise self._wrong(name, "another number of bytes than its descriptor says")
        if Digest.of(answer.body) != descriptor.digest:
            raise self._wrong(name, "bytes with another digest")
        return answer.body

    def referrers(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what refers to ``digest``, from the referrers API or, where there is none, from the fallback tag."""
        listed = self.referrers_api(repository, digest, deadline)
        return self.referrers_tag(repository, digest, deadline) if listed is None else listed

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
        """Return what the referrers API lists for ``digest``, or None when the registry has no such API.

        Descriptors carry no annotations and no artifact type: what an index says of an entry is anybody's word.
        All pages together have at most 4 MiB: UnavailableError (limit) for more.
        """
        name = self._name(repository, digest)
        start = path = f"/v2/{repository}/referrers/{digest}"
        entries = referrers.Entries(name)
        for _ in range(referrers.PAGES):
            question = Question(path, OCI_INDEX, entries.left, repository, f"referrers of {name}")
            answer = self._ask(question, deadline)
            if path == start and not answer.elsewhere and _has_no_api(answer):
                return None
            self._check(answer, question, deadline)
            try:
                entries.add(answer.body)
                query = referrers.next_query(answer.headers.get("Link", ""), self._routes.origin, path)
            except MalformedError as error:
                raise self._wrong(f"referrers of {name}", f"a list that cannot be read ({error.message})") from error
            if query is None:
                return entries.found()
            path = f"{start}?{query}"
        raise UnavailableError(Reason.LIMIT, f"the referrers of {name} have more than {referrers.PAGES} pages")

    def referrers_tag(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what the fallback tag ``sha256-<hex>`` lists for ``digest``; nothing when there is no such tag.

        Raises MalformedError when the tag names something that is not an index. See referrers_api() for what
        descriptors carry.
        """
        document = self.manifest(repository, digest.tag, deadline)
        if document is None:
            return Listed()
        entries = referrers.Entries(self._name(repository, digest))
        entries.add(document.raw)
        return entries.found()

    def close(self) -> None:
        """Close idle connections now, and those in use when they are done."""
        self._routes.close()

    def _ask(self, question: Question, deadline: Deadline) -> Answer:
        with self._breaker.question(question.repository):
            return persist(lambda: self._watched(question, deadline), self._patience, deadline)

    def _watched(self, question: Question, deadline: Deadline) -> Answer:
        """Return the answer, and let the breaker know of it or of its absence."""
        try:
            answer = self._attempt(question, deadline)
        except UnavailableError as error:
            self._breaker.record(question.repository, error, pushed=question.pushed)
            raise
        meant = status_error(answer, self._who(answer), f"asked for {question.name}")
        self._breaker.record(question.repository, meant, pushed=question.pushed)
        return answer

    def _attempt(self, question: Question, deadline: Deadline) -> Answer:
        """Return the answer; a 401 of the registry is met with one other Authorization (O4)."""
        authorization = self.auth.authorization(question.repository, deadline)
        answer = follow(self._routes, question, authorization, deadline)
        if answer.status != UNAUTHORIZED or answer.elsewhere:
            return answer
        authorization = self.auth.renewed(question.repository, answer.challenges, authorization, deadline)
        return follow(self._routes, question, authorization, deadline)

    def _name(self, repository: str, reference: str | Digest) -> str:
        """Return the quoted reference, or raise MalformedError when it would not read back as the same."""
        text = f"{self.hostname}/{repository}{'@' if isinstance(reference, Digest) else ':'}{reference}"
        parsed = Reference.parse(text)
        if (parsed.registry, parsed.repository) != (self.hostname, repository) or (
            parsed.tag or parsed.digest
        ) != reference:
            raise MalformedError(f"{quote(text)} is not an image reference")
        return quote(text)

    def _check(self, answer: Answer, question: Question, deadline: Deadline) -> None:
        if answer.status in (UNAUTHORIZED, FORBIDDEN) and not answer.elsewhere:
            raise self.auth.refusal(question.repository, deadline)
        check_status(answer, self._who(answer), f"asked for {question.name}")

    def _who(self, answer: Answer) -> str:
        registry = quote(self._routes.origin.netloc)
        return f"a host that {registry} redirects to" if answer.elsewhere else registry

    def _wrong(self, name: str, what: str) -> UnavailableError:
        return UnavailableError(
            Reason.REGISTRY_ERROR, f"{quote(self._routes.origin.netloc)} answered {name} with {what}"
        )

    def _never(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("gate's registry client is read-only and asks through its own methods alone")

    # What oras offers: everything that asks, uploads, deletes, logs in or follows links of its own accord.
    do_request = login = logout = push = pull = upload_blob = put_upload = chunked_upload = upload_manifest = _never
    get_manifest = get_blob = download_blob = blob_exists = get_tags = delete_tag = delete_tags = _never
    get_container = set_header = _never


def _has_no_api(answer: Answer) -> bool:
    return answer.status in _NO_REFERRERS_API or (answer.status == OK and answer.media_type != OCI_INDEX)
