"""Getting past a 401: a bare token where there is one, else a password or a token of the registry's realm.

What a realm is asked is written in distribution's token and oauth specifications.

Nothing is sticky (O4 to O7): what is sent is decided for each request from the host that receives it, tokens are kept
per realm, service, scope and credential, and a refused token is replaced once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlencode

import oras.auth.base

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import MIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import google, realm
from gate.registry.addresses import Classify
from gate.registry.challenge import Challenge, parse_challenges
from gate.registry.credentials import Credential, CredentialSource, Kind
from gate.registry.exchange import FORBIDDEN, UNAUTHORIZED, Routes, check_status
from gate.registry.tokens import TokenCache
from gate.registry.transport import Answer
from gate.registry.urls import Origin

TOKEN_ANSWER_BYTES = 1 * MIB  # a token endpoint's answer; containers/image iolimits
TOKEN_SECONDS = (60.0, 3600.0)  # shortest and longest life believed; distribution's token spec says at least 60
TOKEN_MARGIN_SECONDS = 10.0  # a token is replaced this long before it ends
_CLIENT = "config-sync-gate"  # who asks, as the oauth specification wants to be told; it is not a secret
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # visible ASCII: nothing that could end a header line


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a registry says of its token realm."""

    realm: str
    service: str | None


@dataclass(frozen=True, slots=True)
class Basic:
    """The registry wants a user name and a password itself (RFC 7617). Its realm is a label, never a place (O9)."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a token of a realm is good for."""

    bearer: Bearer
    scope: str
    credential: Credential | None = field(repr=False)


class Authentication(oras.auth.base.AuthBackend):  # type: ignore[misc]  # oras carries no types
    """The credentials of one registry's client; thread safe. Whatever oras would do by itself, raises."""

    def __init__(
        self,
        routes: Routes,
        credentials: CredentialSource,
        clock: Callable[[], float],
        classify: Classify,
        *,
        allow_private: bool,
    ) -> None:
        """Show the credentials of ``credentials`` to the registry of ``routes``; ``clock`` is monotonic, in seconds."""
        super().__init__()
        self.prefix = routes.origin.scheme
        self.session = routes.own.session
        self._routes = routes
        self._credentials = credentials
        self._tokens = TokenCache[TokenKey](clock)
        self._classify = classify
        self._allow_private = allow_private
        self._way: Bearer | Basic | None = None  # from the last challenge: whoever comes next need not be challenged

    def authorization(self, repository: str, deadline: Deadline) -> str | None:
        """Return the Authorization that a request for ``repository`` begins with, or None when nothing is known yet."""
        way = self._way
        credential = self._credential(repository, deadline, fresh=False)
        try:
            return self._shown(way, repository, credential, None, deadline)
        except UnavailableError as error:
            if credential is None or error.reason is not Reason.REGISTRY_UNAUTHORIZED:
                # The registry may have named another realm by now, or want none for this repository: let it say so.
                self._way = None
                return None
            renewed = self._credential(repository, deadline, fresh=True)
            if renewed == credential:
                raise
        return self._shown(way, repository, renewed, None, deadline)

    def renewed(self, repository: str, challenges: Sequence[str], rejected: str | None, deadline: Deadline) -> str:
        """Return another Authorization than ``rejected``, or raise UnavailableError (registry-unauthorized)."""
        credential = self._credential(repository, deadline, fresh=True)
        way = None
        if credential is None or credential.kind is not Kind.BEARER:
            way = self._challenged(challenges, credential)
        shown = self._shown(way, repository, credential, rejected, deadline)
        if shown is None or shown == rejected:
            raise self._refused(credential)
        if way is not None:
            # Only what was good for something is tried first the next time: a bad challenge must not spoil the others.
            self._way = way
        return shown

    def credential(self, repository: str, deadline: Deadline) -> Credential | None:
        """Return what is shown for ``repository``, or None when that is nothing; raises as CredentialSource."""
        return self._credential(repository, deadline, fresh=False)

    def refusal(self, repository: str, deadline: Deadline) -> UnavailableError:
        """Return the error for a registry that refuses what it was shown for ``repository``."""
        return self._refused(self._credential(repository, deadline, fresh=False))

    def _refused(self, credential: Credential | None) -> UnavailableError:
        host = quote(self._routes.origin.netloc)
        if credential is not None:
            message = f"{host} {credential.refused}"
        elif self._routes.origin.scheme != "https":
            message = f"{host} wants credentials, and gate sends none over plain http"
        else:
            message = f"{host} refused gate, which has no credentials for it"
            if google.HOSTS.match(self._routes.origin.netloc):
                message += "; on GKE, see that Workload Identity is enabled for the cluster and its node pool"
        return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)

    def _credential(self, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        if self._routes.origin.scheme != "https":
            return None  # a secret never crosses the network in the clear
        return self._credentials.credential(self._routes.origin.netloc, repository, deadline, fresh=fresh)

    def _challenged(self, challenges: Sequence[str], credential: Credential | None) -> Bearer | Basic:
        """Return what the challenge offers and ``credential`` can meet: a realm, else a password for the registry."""
        try:
            offered = parse_challenges(challenges)
        except MalformedError as error:
            host = quote(self._routes.origin.netloc)
            message = f"{host} wants credentials and does not say how: {error.message}"
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message) from error
        bearer = next((each for each in map(_bearer, offered) if each is not None), None)
        if bearer is not None:
            return bearer
        if any(each.scheme == "basic" for each in offered):
            if credential is not None and credential.kind is Kind.PASSWORD:
                return Basic()
            if credential is not None:
                host = quote(self._routes.origin.netloc)
                message = f"{host} wants a user name and password, and gate has an {credential.kind.value} for it"
                raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
        raise self._refused(credential)

    def _shown(
        self,
        way: Bearer | Basic | None,
        repository: str,
        credential: Credential | None,
        rejected: str | None,
        deadline: Deadline,
    ) -> str | None:
        """Return the Authorization that ``credential`` makes at a registry that wants to be shown it by ``way``."""
        if credential is not None and credential.kind is Kind.BEARER:
            return f"Bearer {credential.token}"
        match way:
            case None:
                return None
            case Basic():
                return _basic(credential) if credential is not None and credential.kind is Kind.PASSWORD else None
            case Bearer():
                key = TokenKey(way, f"repository:{repository}:pull", credential)
                used = None if rejected is None else rejected.removeprefix("Bearer ")
                return "Bearer " + self._tokens.get(key, used, lambda: self._ask_realm(key, deadline), deadline)

    def _ask_realm(self, key: TokenKey, deadline: Deadline) -> tuple[str, float]:
        """Return a token for ``key`` and the seconds it may be used."""
        registry = self._routes.origin
        origin = realm.trusted(
            key.bearer.realm,
            registry,
            allow_private=self._allow_private,
            classify=self._classify,
            listed=self._routes.realms,
        )
        answer = self._answer_of(origin, key, deadline)
        name = f"the token realm {quote(origin.netloc)}"
        if answer.status in (UNAUTHORIZED, FORBIDDEN) and key.credential is not None:
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, f"{name} {key.credential.refused}")
        check_status(answer, name, "asked for a token")
        try:
            return _read_token(answer.body)
        except MalformedError as error:
            message = f"{name} did not answer with a token: {error.message}"
            raise UnavailableError(Reason.REGISTRY_ERROR, message) from error

    def _answer_of(self, origin: Origin, key: TokenKey, deadline: Deadline) -> Answer:
        """Return what the realm, which is believed, answers when it is asked as the credential wants it."""
        transport = self._routes.to_realm(origin)
        headers = {"Accept": "application/json"}
        credential = key.credential
        if credential is not None and origin.scheme != "https":
            raise self._refused(None)  # unreachable while plain http has no credentials: it must stay so
        if credential is not None and credential.kind is Kind.IDENTITY:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credential.token,
                "client_id": _CLIENT,
                "scope": key.scope,
                **({} if key.bearer.service is None else {"service": key.bearer.service}),
            }
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return transport.post(key.bearer.realm, headers, urlencode(form).encode(), TOKEN_ANSWER_BYTES, deadline)
        if credential is not None:
            headers["Authorization"] = _basic(credential)
        url = realm.token_url(key.bearer.realm, key.bearer.service, key.scope)
        return transport.get(url, headers, TOKEN_ANSWER_BYTES, deadline)

    def _never(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("gate authenticates through Authentication.authorization() alone")

    # What oras calls or offers: reads $HOME, runs credential helpers, or trusts any realm.
    load_configs = get_auth_header = authenticate_request = request_token = request_anonymous_token = _never
    set_token_auth = set_basic_auth = logout = get_container = _never


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.token}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _bearer(challenge: Challenge) -> Bearer | None:
    name = challenge.parameter("realm")
    if challenge.scheme != "bearer" or not name:
        return None
    return Bearer(name, challenge.parameter("service"))


def _read_token(body: bytes) -> tuple[str, float]:
    fields = strictjson.loads_object(body, limit=TOKEN_ANSWER_BYTES)
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise MalformedError("it holds no token")
    life = fields.get("expires_in")
    shortest, longest = TOKEN_SECONDS
    seconds = float(life) if isinstance(life, int) else shortest
    return token, min(max(seconds, shortest), longest) - TOKEN_MARGIN_SECONDS
