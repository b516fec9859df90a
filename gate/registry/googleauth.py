"""google-auth, asked for one token at a time: the only module that imports it, and imported only when a token is due.

The library reads its settings for the metadata server when it is imported, takes 0.3 s for that, waits up to 30 s for a
server that is dead, and asks whatever its files say. So it asks through Request: only origins that were named to it,
bounded answers, no redirects, one deadline for all, no patience.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import google.auth.exceptions
import google.auth.transport
from google.auth import compute_engine, identity_pool
from google.oauth2 import credentials as user_credentials

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import KIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.files import read_start
from gate.registry import federation
from gate.registry.background import Fetched
from gate.registry.federation import AuthorizedUser, ExternalAccount, SubjectFile
from gate.registry.transport import Answer
from gate.registry.urls import Origin

# What Config Sync's own client asks for. Reading needs less, and IAM decides what the identity may do.
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
ANSWER_BYTES = 64 * KIB  # an answer with a token; real ones have 2 KiB
_OK = 200

Clock: TypeAlias = Callable[[], datetime]  # the time of day, aware, in UTC


class Wire(Protocol):
    """Who asks: gate.registry.transport.Transport."""

    def get(self, url: str, headers: Mapping[str, str], limit: int, deadline: Deadline) -> Answer:
        """Return the answer to a GET."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes, limit: int, deadline: Deadline) -> Answer:
        """Return the answer to a POST."""


@dataclass(frozen=True, slots=True)
class Response(google.auth.transport.Response):
    """What the library sees of an answer: no body unless the status is 200."""

    answer: Answer

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, their names in any case."""
        return self.answer.headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self.answer.body


class Request(google.auth.transport.Request):
    """What the library asks through."""

    def __init__(self, wire: Wire, origins: frozenset[Origin], deadline: Deadline) -> None:
        """Ask ``origins`` alone, and nobody after ``deadline``."""
        self._wire = wire
        self._origins = origins
        self._deadline = deadline

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: object = None,
        **kwargs: object,
    ) -> Response:
        """Return the answer, or raise UnavailableError, which the library does not know and so does not retry."""
        del timeout, kwargs
        origin = Origin.of(url)
        if origin not in self._origins:
            raise _unavailable(f"{quote(str(origin))} is not who gives such tokens")
        data = body.encode("utf-8") if isinstance(body, str) else body
        named = dict(headers or {})
        if method == "GET" and data is None:
            answer = self._wire.get(url, named, ANSWER_BYTES, self._deadline)
        elif method == "POST":
            answer = self._wire.post(url, named, data or b"", ANSWER_BYTES, self._deadline)
        else:
            raise _unavailable(f"{quote(method)} is not how tokens are asked for")
        if answer.status != _OK:
            raise _unavailable(f"{quote(origin.netloc)} answered {answer.status}")
        return Response(answer)


class _Subject(identity_pool.SubjectTokenSupplier):
    """The foreign token, read within limits: the library's own readers have none."""

    def __init__(self, account: ExternalAccount) -> None:
        self._subject = account.subject

    def get_subject_token(self, context: object, request: Request) -> str:
        del context
        subject = self._subject
        if isinstance(subject, SubjectFile):
            what, data = f"the subject token file {quote(str(subject.path))}", _read(subject.path)
        else:
            headers = {"Authorization": subject.authorization, "Accept": "application/json"}
            what, data = "GitHub's answer", request(subject.url, headers=headers).data
        try:
            return federation.subject_token(data, subject.name)
        except MalformedError as error:
            raise _unavailable(f"{what} cannot be used: {error.message}") from error


def from_metadata_server(wire: Wire, origin: Origin, deadline: Deadline, now: Clock) -> Fetched:
    """Return the token of the pod's or machine's identity; UnavailableError when the metadata server gives none."""
    made = compute_engine.Credentials(  # type: ignore[no-untyped-call]  # the library types itself in part
        scopes=SCOPES, universe_domain="googleapis.com"
    )
    return _refreshed(made, Request(wire, frozenset({origin}), deadline), now)


def from_external_account(wire: Wire, account: ExternalAccount, deadline: Deadline, now: Clock) -> Fetched:
    """Return the token that the foreign one is exchanged for; UnavailableError when it is not."""
    origins = {federation.STS, federation.IAM_CREDENTIALS}
    if not isinstance(account.subject, SubjectFile):
        origins.add(Origin.of(account.subject.url))
    made = identity_pool.Credentials(  # type: ignore[no-untyped-call]  # the same
        audience=account.audience,
        subject_token_type=account.subject_type,
        token_url=account.token_url,
        subject_token_supplier=_Subject(account),
        service_account_impersonation_url=account.impersonation_url,
        service_account_impersonation_options={"token_lifetime_seconds": account.lifetime or 3600},
        scopes=SCOPES,
    )
    return _refreshed(made, Request(wire, frozenset(origins), deadline), now)


def from_authorized_user(wire: Wire, user: AuthorizedUser, deadline: Deadline, now: Clock) -> Fetched:
    """Return a token of the user; UnavailableError when Google gives none for the file."""
    info = {"client_id": user.client_id, "client_secret": user.client_secret, "refresh_token": user.refresh_token}
    made = user_credentials.Credentials.from_authorized_user_info(  # type: ignore[no-untyped-call]  # the same
        info
    )
    return _refreshed(made, Request(wire, frozenset({federation.OAUTH}), deadline), now)


def _refreshed(made: Any, request: Request, now: Clock) -> Fetched:  # noqa: ANN401 (the library types itself in part)
    """Return the token of ``made``, by refresh() alone: before_request() starts threads with calls of their own."""
    try:
        made.refresh(request)
        token, expiry = made.token, made.expiry
    except (google.auth.exceptions.GoogleAuthError, ValueError, KeyError, TypeError, AttributeError):
        # The last four say that an answer was no token. From None: the library's messages may hold what was answered.
        raise _unavailable("the answer holds no access token") from None
    if not isinstance(token, str) or not federation.is_token(token) or not isinstance(expiry, datetime):
        raise _unavailable("the answer holds no access token")
    return Fetched(token, max((expiry.replace(tzinfo=UTC) - now()).total_seconds(), 0.0))


def _read(path: Path) -> bytes:
    try:
        return read_start(path, federation.FILE_BYTES + 1)[0]
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise _unavailable(f"the subject token file {quote(str(path))} cannot be read: {why}") from error


def _unavailable(message: str) -> UnavailableError:
    return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
