"""Whatever becomes of credentials, nothing of them is said: not in messages, tracebacks, representations or logs.

Every secret here is a spelling of "sesame". Each case runs real sources against a registry, well and badly, with the
log at debug, and everything that gate says is searched for all the spellings.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from requests.structures import CaseInsensitiveDict

from gate.core.deadline import Deadline
from gate.core.errors import GateError
from gate.core.quote import quote as quoted
from gate.registry import googleauth
from gate.registry.client import RegistryClient
from gate.registry.credentials import Credential, CredentialSource
from gate.registry.entries import CredentialChoice, DockerConfigFile, TokenFile, TokenSecret
from gate.registry.federation import parse
from gate.registry.google import Clocks
from gate.registry.laptop import Home
from gate.registry.sources import Place, Sources
from gate.registry.transport import Answer
from gate.server import logs
from gate.settings import Settings
from tests.fakes.hostile import Hostile, Reply, Scripted, Seen, as_json, challenge
from tests.integration.registry.conftest import REPOSITORY, Asker, within

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
SECRET = "open-sesame:1/+"
TOKEN = "ya29.sesame-token"
PAIR = base64.b64encode(f"bob:{SECRET}".encode()).decode()
SPELLINGS = ("sesame", PAIR, PAIR.rstrip("="), quote(SECRET), base64.b64encode(SECRET.encode()).decode().rstrip("="))


class Heard:
    """The log at debug, and whatever else gate says."""

    def __init__(self) -> None:
        self.log = io.StringIO()
        self.said: list[str] = []

    def hear(self, *said: object) -> None:
        self.said += [form for each in said for form in (str(each), repr(each), quoted(str(each)))]

    def hear_error(self, error: BaseException) -> None:
        self.hear(error, *error.args)
        self.said += traceback.format_exception(error)

    def leaks(self) -> list[str]:
        everything = "\n".join([self.log.getvalue(), *self.said])
        return [spelling for spelling in SPELLINGS if spelling in everything]


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard, root = Heard(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in (None, *root.manager.loggerDict)}
    before = root.handlers[:]
    logs.configure("debug", heard.log)
    root.setLevel(logging.DEBUG)
    yield heard
    root.handlers[:] = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    assert heard.leaks() == []


def test_a_secret_that_is_said_is_heard() -> None:
    for spelling in (SECRET, PAIR, TOKEN, f"https://bob:{quote(SECRET)}@r.example"):
        heard = Heard()
        heard.hear(spelling)
        assert heard.leaks() != []


def logins(host: str, entry: object) -> bytes:
    return json.dumps({"auths": {host: entry}}).encode()


def sources(folder: Path, home: Home | None = None) -> Sources:
    settings = Settings.parse({"GATE_TOKEN_FILE": "", "GATE_DOCKERCONFIG_FILE": ""})
    clocks = Clocks(lambda: 0.0, lambda: datetime.now(UTC), lambda low, _: low)

    def read_secret(name: str, key: str) -> bytes:
        return (folder / name).read_bytes()

    secrets = None if home is not None else read_secret
    return Sources(settings, Place(clocks, {"NO_GCE_CHECK": "true"}, secrets, "oci-webhook", home))


ENTRIES: dict[str, object] = {
    "auth": {"auth": PAIR},
    "password": {"username": "bob", "password": SECRET},
    "identity": {"identitytoken": TOKEN},
    "registry token": {"registrytoken": TOKEN},
}
OUTCOMES: dict[str, Callable[[Hostile], dict[str, tuple[Scripted, ...]]]] = {
    "lets it in": lambda _: {TAGGED: (challenge('Basic realm="x"'), Reply(200, b"{}"))},
    "gives a token": lambda server: {
        TAGGED: (challenge(f'Bearer realm="{server.url}/token"'), Reply(200, b"{}")),
        "/token": (as_json({"token": TOKEN, "expires_in": 300}),),
    },
    "refuses": lambda _: {TAGGED: (challenge('Basic realm="x"'),)},
    "forbids": lambda _: {TAGGED: (challenge('Basic realm="x"'), Reply(403))},
    "says nothing": lambda _: {TAGGED: (challenge(""),)},
    "has a realm that refuses": lambda server: {
        TAGGED: (challenge(f'Bearer realm="{server.url}/token"'),),
        "/token": (Reply(401, TOKEN.encode()),),
    },
    "has a realm that repeats what it hears": lambda server: {
        TAGGED: (challenge(f'Bearer realm="{server.url}/token"'),),
        "/token": (_echo,),
    },
    "repeats what it hears": lambda _: {TAGGED: (challenge('Basic realm="x"'), _echo)},
    "challenges with what it hears": lambda _: {TAGGED: (challenge('Basic realm="x"'), _challenge_with_it)},
}


def _echo(seen: Seen) -> Reply:
    return Reply(200, json.dumps({**seen.headers, "body": seen.body.decode()}).encode())


def _challenge_with_it(seen: Seen) -> Reply:
    return challenge(f'Basic realm="{seen.headers.get("authorization", "")}"')


def run(heard: Heard, client: RegistryClient) -> None:
    for _ in range(2):
        try:
            heard.hear(client.manifest(REPOSITORY, "v1", within()) is not None)
        except GateError as error:
            heard.hear_error(error)
    heard.hear(client, vars(client), client.auth, vars(client.auth), client.auth._tokens._kept)


def opened(asker: Asker, server: Hostile, source: CredentialSource, heard: Heard) -> RegistryClient:
    heard.hear(source, vars(source))
    try:
        heard.hear(source.credential(server.host, REPOSITORY, within(), fresh=False))
    except GateError as error:
        heard.hear_error(error)
    return asker.client(server, credentials=source)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_login_stays_secret(
    asker: Asker, secure: Hostile, heard: Heard, tmp_path: Path, entry: str, outcome: str
) -> None:
    for path, answers in OUTCOMES[outcome](secure).items():
        secure.on(path, *answers)
    (tmp_path / "config.json").write_bytes(logins(secure.host, ENTRIES[entry]))
    source = sources(tmp_path).build(DockerConfigFile(tmp_path / "config.json"))
    run(heard, opened(asker, secure, source, heard))
    assert secure.seen


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("choice", [TokenFile, TokenSecret])
def test_an_access_token_stays_secret(
    asker: Asker,
    secure: Hostile,
    heard: Heard,
    tmp_path: Path,
    choice: type[TokenFile | TokenSecret],
    outcome: str,
) -> None:
    for path, answers in OUTCOMES[outcome](secure).items():
        secure.on(path, *answers)
    (tmp_path / "token").write_text(TOKEN)
    chosen: CredentialChoice = TokenFile(tmp_path / "token") if choice is TokenFile else TokenSecret("token")
    run(heard, opened(asker, secure, sources(tmp_path).build(chosen), heard))


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("code", [0, 1])
def test_what_a_credential_helper_says_stays_secret(
    asker: Asker, secure: Hostile, heard: Heard, tmp_path: Path, outcome: str, code: int
) -> None:
    for path, answers in OUTCOMES[outcome](secure).items():
        secure.on(path, *answers)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"credsStore": "store"}))
    helper = tmp_path / "docker-credential-store"
    answer = json.dumps({"ServerURL": "x", "Username": "bob", "Secret": SECRET})
    helper.write_text(f"#!/bin/sh\necho '{answer}'\necho '{answer}' >&2\nexit {code}\n")
    helper.chmod(0o755)
    home = Home.of({"HOME": str(tmp_path), "PATH": str(tmp_path)})
    run(heard, opened(asker, secure, sources(tmp_path, home).build(None), heard))


@pytest.mark.parametrize(
    "content",
    [
        SECRET.encode(),
        f'{{"auths": "{SECRET}"}}'.encode(),
        f'{{"auths": {{"r.example": "{SECRET}"}}}}'.encode(),
        f'{{"auths": {{"r.example": {{"auth": "{SECRET}"}}}}}}'.encode(),
        f'{{"auths": {{"r.example": {{"username": "a:b", "password": "{SECRET}"}}}}}}'.encode(),
        f'{{"auths": {{"r.example": {{"identitytoken": "a {SECRET}"}}}}}}'.encode(),
        f'{{"auths": {{"https://bob:{SECRET}@r.example": {{"auth": "!"}}}}}}'.encode(),
        f'{{"auths": {{"https://bob:{SECRET}@r.example": "!"}}}}'.encode(),
        f'{{"type": "external_account", "token_url": "https://bob:{SECRET}@sts.googleapis.com/v1/token"}}'.encode(),
        f'{{"type": "authorized_user", "refresh_token": "a {SECRET}"}}'.encode(),
        b"\xff" + SECRET.encode(),
    ],
)
def test_a_file_that_cannot_be_used_stays_secret(heard: Heard, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: sources(tmp_path).build(DockerConfigFile(path)),
        lambda: sources(tmp_path).build(TokenSecret("file")),
        lambda: parse(content, "the credentials file", laptop=True),
        lambda: parse(content, "the credentials file", laptop=False),
    )
    for attempt in attempts:
        try:
            heard.hear(attempt())
        except GateError as error:
            heard.hear_error(error)
    assert heard.said


class Wire:
    """Answers every question of google-auth in the same way."""

    def __init__(self, status: int, body: bytes) -> None:
        headers: Mapping[str, str] = CaseInsensitiveDict({"Content-Type": "application/json"})
        self.answer = Answer(status, headers, (), body)

    def get(self, url: str, headers: Mapping[str, str], limit: int, deadline: Deadline) -> Answer:
        return self.answer

    def post(self, url: str, headers: Mapping[str, str], body: bytes, limit: int, deadline: Deadline) -> Answer:
        return self.answer


GOOGLES_ANSWERS = [
    (200, json.dumps({"access_token": TOKEN, "expires_in": 300}).encode()),
    (200, json.dumps({"access_token": TOKEN, "expires_in": "never"}).encode()),
    (200, json.dumps({"access_token": f"a {TOKEN}", "expires_in": 300}).encode()),
    (200, json.dumps({"error": TOKEN, "error_description": TOKEN}).encode()),
    (200, TOKEN.encode()),
    (400, json.dumps({"error": "invalid_grant", "error_description": TOKEN}).encode()),
    (503, TOKEN.encode()),
]


@pytest.mark.parametrize(("status", "body"), GOOGLES_ANSWERS)
@pytest.mark.parametrize("kind", ["federation", "impersonation", "github", "user"])
def test_what_google_says_and_is_told_stays_secret(
    heard: Heard, tmp_path: Path, kind: str, status: int, body: bytes
) -> None:
    (tmp_path / "subject").write_text(TOKEN)
    fields: dict[str, object] = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    if kind == "impersonation":
        account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/g@a.iam.gserviceaccount.com"
        fields["service_account_impersonation_url"] = f"{account}:generateAccessToken"
    if kind == "github":
        headers = {"Authorization": f"Bearer {TOKEN}"}
        fields["credential_source"] = {"url": "https://x.actions.githubusercontent.com/y", "headers": headers}
    if kind == "user":
        fields = {"type": "authorized_user", "client_id": "i", "client_secret": TOKEN, "refresh_token": TOKEN}
    found = parse(json.dumps(fields).encode(), "the credentials file", laptop=True)
    heard.hear(found)
    try:
        ask = googleauth.from_authorized_user if kind == "user" else googleauth.from_external_account
        heard.hear(ask(Wire(status, body), found, within(), lambda: datetime.now(UTC)))  # type: ignore[arg-type]  # of the same kind
    except GateError as error:
        heard.hear_error(error)


def test_a_credential_says_where_it_comes_from_and_no_more(heard: Heard) -> None:
    credential = Credential(SECRET, "the file", username="sesame")
    heard.hear(credential, credential.refused)
    assert "the file" in repr(credential)
