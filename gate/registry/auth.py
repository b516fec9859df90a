"""Getting past a 401: bare tokens where there is one, else a token from the registry's realm (distribution-spec, auth).

Nothing is sticky (O4 to O7): what is sent is decided for each request from the host that receives it, tokens are kept
per realm, service, scope and credential, and a refused token is replaced once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import oras.auth.base

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import MIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import realm
from gate.registry.addresses import Classify
from gate.registry.challenge import Challenge, parse_challenges
from gate.registry.credentials import Credential, CredentialSource
from gate.registry.exchange import Routes, check_status
from gate.registry.tokens import TokenCache

TOKEN_ANSWER_BYTES = 1 * MIB  # a token endpoint's answer; containers/image iolimits
TOKEN_SECONDS = (60.0, 3600.0)  # shortest and longest life believed; distribution's token spec says at least 60
TOKEN_MARGIN_SECONDS = 10.0  # a token is replaced this long before it ends
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # visible ASCII: nothing that could end a header line


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a registry says of its token realm."""

    realm: str
    service: str | None


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
        self._bearer: Bearer | None = None  # from the last challenge: whoever comes next asks for a token first

    def authorization(self, repository: str, deadline: Deadline) -> str | None:
        """Return the Authorization that a request for ``repository`` begins with, or None when nothing is known yet."""
        credential = self._credential(fresh=False)
        if credential is not None:
            return f"Bearer {credential.token}"
        bearer = self._bearer
        if bearer is None:
            return None
        try:
            return self._from_realm(bearer, repository, None, deadline)
        except UnavailableError:
            # The registry may have named another realm by now, or want none for this repository: let it say so itself.
            self._bearer = None
            return None

    def renewed(self, repository: str, challenges: Sequence[str], rejected: str | None, deadline: Deadline) -> str:
        """Return another Authorization than ``rejected``, or raise UnavailableError (registry-unauthorized)."""
        credential = self._credential(fresh=True)
        if credential is not None:
            if f"Bearer {credential.token}" == rejected:
                raise self.refusal()
            return f"Bearer {credential.token}"
        bearer = self._challenged(challenges)
        shown = self._from_realm(bearer, repository, rejected, deadline)
        # Only a realm that gave a token is asked first the next time: one bad challenge must not spoil the others.
        self._bearer = bearer
        return shown

    def refusal(self) -> UnavailableError:
        """Return the error for a registry that refuses what it was shown."""
        host = quote(self._routes.origin.netloc)
        credential = self._credential(fresh=False)
        if credential is not None:
            message = (
                f"{host} refused the access token in {credential.source}: renew it (Google access tokens live an "
                "hour), and check that its owner may read the repository"
            )
        elif self._routes.origin.scheme != "https":
            message = f"{host} wants credentials, and gate sends none over plain http"
        else:
            message = f"{host} refused gate, which has no credentials for it"
        return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)

    def _credential(self, *, fresh: bool) -> Credential | None:
        if self._routes.origin.scheme != "https":
            return None  # a secret never crosses the network in the clear
        return self._credentials.credential(self._routes.origin.netloc, fresh=fresh)

    def _challenged(self, challenges: Sequence[str]) -> Bearer:
        """Return the realm that the challenge names. The realm of another scheme is a label, never a place (O9)."""
        try:
            offered = parse_challenges(challenges)
        except MalformedError as error:
            host = quote(self._routes.origin.netloc)
            message = f"{host} wants credentials and does not say how: {error.message}"
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message) from error
        bearer = next((each for each in map(_bearer, offered) if each is not None), None)
        if bearer is None:
            raise self.refusal()
        return bearer

    def _from_realm(self, bearer: Bearer, repository: str, rejected: str | None, deadline: Deadline) -> str:
        key = TokenKey(bearer, f"repository:{repository}:pull", None)
        used = None if rejected is None else rejected.removeprefix("Bearer ")
        return "Bearer " + self._tokens.get(key, used, lambda: self._ask_realm(key, deadline), deadline)

    def _ask_realm(self, key: TokenKey, deadline: Deadline) -> tuple[str, float]:
        """Return a token for ``key`` and the seconds it may be used."""
        registry = self._routes.origin
        origin = realm.trusted(key.bearer.realm, registry, allow_private=self._allow_private, classify=self._classify)
        url = realm.token_url(key.bearer.realm, key.bearer.service, key.scope)
        transport = self._routes.own if origin.host == registry.host else self._routes.foreign
        answer = transport.get(url, {"Accept": "application/json"}, TOKEN_ANSWER_BYTES, deadline)
        check_status(answer, f"the token realm {quote(origin.netloc)}", "asked for a token")
        try:
            return _read_token(answer.body)
        except MalformedError as error:
            message = f"the token realm {quote(origin.netloc)} did not answer with a token: {error.message}"
            raise UnavailableError(Reason.REGISTRY_ERROR, message) from error

    def _never(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("gate authenticates through Authentication.authorization() alone")

    # What oras calls or offers: reads $HOME, runs credential helpers, or trusts any realm.
    load_configs = get_auth_header = authenticate_request = request_token = request_anonymous_token = _never
    set_token_auth = set_basic_auth = logout = get_container = _never


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
