"""Files with which Google's libraries get an access token: what gate believes of them.

Such a file says which URLs are asked, which files are sent there and which programs are run, and google-auth does what
it says. Here it is read strictly instead: tokens go to Google's own hosts, and come from a file or, on a command line
in GitHub Actions, from GitHub. What is not understood never reaches the library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from gate.core import strictjson
from gate.core.errors import ConfigError, MalformedError
from gate.core.limits import KIB
from gate.core.strictjson import Object
from gate.registry import urls
from gate.registry.urls import Origin

FILE_BYTES = 64 * KIB  # a credentials file; real ones have 1 KiB
STS = Origin("https", "sts.googleapis.com", 443)
IAM_CREDENTIALS = Origin("https", "iamcredentials.googleapis.com", 443)
OAUTH = Origin("https", "oauth2.googleapis.com", 443)
GITHUB_DOMAIN = ".actions.githubusercontent.com"  # where GitHub Actions gives its jobs their tokens
LIFETIME_SECONDS = (600, 43200)  # iamcredentials.generateAccessToken
_AUDIENCE = re.compile(
    r"//iam\.googleapis\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+",
    re.ASCII,
)
_SUBJECT_TYPE = re.compile(r"urn:ietf:params:oauth:token-type:[a-z0-9_-]{1,32}", re.ASCII)
_STS_PATH = re.compile(r"/v1(?:beta)?/token", re.ASCII)
_IMPERSONATION_PATH = re.compile(r"/v1/projects/-/serviceAccounts/[a-z0-9@.-]+:generateAccessToken", re.ASCII)
_VISIBLE = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)
_HEADER = re.compile(r"[\x20-\x7e]{1,16384}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SubjectFile:
    """The token to exchange, in a file: as it is, or in this field of a JSON object."""

    path: Path
    name: str | None


@dataclass(frozen=True, slots=True)
class SubjectUrl:
    """The token to exchange, from GitHub, for whoever shows it ``authorization``: in this field, or as it is."""

    url: str = field(repr=False)
    authorization: str = field(repr=False)
    name: str | None


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """Workload Identity Federation: a foreign token is exchanged at STS, and that for a service account's, if any."""

    audience: str
    subject_type: str
    token_url: str
    subject: SubjectFile | SubjectUrl
    impersonation_url: str | None
    lifetime: int | None  # seconds of the service account's token


@dataclass(frozen=True, slots=True)
class AuthorizedUser:
    """What ``gcloud auth application-default login`` leaves."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


CredentialsFile: TypeAlias = ExternalAccount | AuthorizedUser


def parse(data: bytes, name: str, *, laptop: bool) -> CredentialsFile:
    """Return what the file holds, or raise ConfigError; ``name`` is the file's, for messages.

    A server takes workload identity federation from a file alone. On a ``laptop``, or in CI, a user's own credentials
    and GitHub's tokens are good, too.
    """
    try:
        fields = strictjson.loads_object(data, limit=FILE_BYTES)
        return _credentials(fields, laptop=laptop)
    except MalformedError as error:
        raise ConfigError(f"{name} cannot be used: {error.message}") from error


def _credentials(fields: Object, *, laptop: bool) -> CredentialsFile:
    match fields.get("type"):
        case "external_account":
            return _external_account(fields, laptop=laptop)
        case "authorized_user" if laptop:
            return AuthorizedUser(*(_text(fields, name) for name in ("client_id", "client_secret", "refresh_token")))
        case _ if laptop:
            raise MalformedError("its type is neither external_account nor authorized_user")
        case _:
            raise MalformedError("its type is not external_account, and gate serve takes no other")


def _external_account(fields: Object, *, laptop: bool) -> ExternalAccount:
    if fields.get("universe_domain") not in (None, "googleapis.com"):
        raise MalformedError("its universe_domain is not googleapis.com")
    impersonation_url = None
    if fields.get("service_account_impersonation_url") is not None:
        impersonation_url = _url(fields, "service_account_impersonation_url", IAM_CREDENTIALS, _IMPERSONATION_PATH)
    return ExternalAccount(
        _matching(fields, "audience", _AUDIENCE),
        _matching(fields, "subject_token_type", _SUBJECT_TYPE),
        _url(fields, "token_url", STS, _STS_PATH),
        _subject(strictjson.expect_object(fields.get("credential_source"), "credential_source"), laptop=laptop),
        impersonation_url,
        _lifetime(fields),
    )


def _subject(source: Object, *, laptop: bool) -> SubjectFile | SubjectUrl:
    allowed = {"file", "format"} | ({"url", "headers"} if laptop else set())
    if not source.keys() <= allowed or ("file" in source) == ("url" in source):
        where = "a file, or GitHub's url" if laptop else "a file: gate serve runs no program and asks no url for it"
        raise MalformedError(f"its credential_source does not say {where}")
    name = _field_name(source)
    if "file" in source:
        path = Path(_text(source, "file"))
        if "headers" in source or not path.is_absolute():
            raise MalformedError("its credential_source.file is not an absolute path alone")
        return SubjectFile(path, name)
    return SubjectUrl(_github(_text(source, "url")), _authorization(source), name)


def _github(url: str) -> str:
    origin = Origin.of(url)
    if (origin.scheme, origin.port) != ("https", 443) or not origin.host.endswith(GITHUB_DOMAIN):
        raise MalformedError(f"its credential_source.url is not https at a host of *{GITHUB_DOMAIN}")
    return url


def _authorization(source: Object) -> str:
    headers = strictjson.expect_object(source.get("headers"), "credential_source.headers")
    named = {name.lower(): value for name, value in headers.items()}
    value = named.get("authorization")
    if named.keys() != {"authorization"} or not isinstance(value, str) or _HEADER.fullmatch(value) is None:
        raise MalformedError("its credential_source.headers are not one Authorization")
    return value


def _field_name(source: Object) -> str | None:
    if source.get("format") is None:
        return None
    written = strictjson.expect_object(source.get("format"), "credential_source.format")
    match written.get("type", "text"):
        case "text":
            return None
        case "json":
            return _text(written, "subject_token_field_name")
        case _:
            raise MalformedError("its credential_source.format is neither text nor json")


def _lifetime(fields: Object) -> int | None:
    options = strictjson.expect_object(
        fields.get("service_account_impersonation") or {}, "service_account_impersonation"
    )
    if options.get("token_lifetime_seconds") is None:
        return None
    seconds = strictjson.expect_integer(options.get("token_lifetime_seconds"), "token_lifetime_seconds")
    shortest, longest = LIFETIME_SECONDS
    if not shortest <= seconds <= longest:
        raise MalformedError(f"its token_lifetime_seconds is not from {shortest} to {longest}")
    return seconds


def _url(fields: Object, name: str, origin: Origin, path: re.Pattern[str]) -> str:
    url = _text(fields, name)
    parts = urls.split(url)
    if Origin.of(url) != origin or path.fullmatch(parts.path) is None or parts.query or parts.fragment:
        raise MalformedError(f"its {name} is not the one at {origin}")
    return url


def _matching(fields: Object, name: str, pattern: re.Pattern[str]) -> str:
    text = _text(fields, name)
    if pattern.fullmatch(text) is None:
        raise MalformedError(f"its {name} is not one of workload identity federation")
    return text


def _text(fields: Object, name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or _VISIBLE.fullmatch(text) is None:
        raise MalformedError(f"it has no usable {name}")
    return text


def is_token(text: str) -> bool:
    """Return whether ``text`` can be sent as a token: visible ASCII, at most 16 KiB."""
    return _VISIBLE.fullmatch(text) is not None


def subject_token(data: bytes, name: str | None) -> str:
    """Return the token that ``data`` is, or holds in the field ``name``; MalformedError when there is none."""
    if name is None:
        try:
            text: strictjson.Json = data.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise MalformedError("it is not a token") from error
    else:
        text = strictjson.loads_object(data, limit=FILE_BYTES).get(name)
    if not isinstance(text, str) or not is_token(text):
        raise MalformedError("it is not a token" if name is None else "it holds no token in the field that is named")
    return text
