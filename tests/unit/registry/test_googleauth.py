"""google-auth, really: what it asks, through a wire that is handed in. STS cannot be faked on loopback: it is https."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from requests.structures import CaseInsensitiveDict

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry import googleauth
from gate.registry.background import Fetched
from gate.registry.federation import AuthorizedUser, ExternalAccount, SubjectFile, SubjectUrl
from gate.registry.transport import Answer
from gate.registry.urls import Origin
from tests.unit.registry.test_federation import AUDIENCE, GITHUB_URL, IMPERSONATION

STS = "https://sts.googleapis.com/v1/token"
OAUTH = "https://oauth2.googleapis.com/token"
METADATA = Origin("http", "metadata.google.internal", 80)
SOON = Deadline(1.0, lambda: 0.0)
JSON_HEADERS = CaseInsensitiveDict({"Content-Type": "application/json"})
JWT = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(slots=True)
class Google:
    """Answers by URL, and remembers what it was asked."""

    answers: dict[str, Answer]
    asked: list[Asked] = field(default_factory=list)

    def get(self, url: str, headers: Mapping[str, str], limit: int, deadline: Deadline) -> Answer:
        assert (limit, deadline) == (googleauth.ANSWER_BYTES, SOON)
        self.asked.append(Asked("GET", url, headers))
        return self.answers[url.partition("?")[0]]

    def post(self, url: str, headers: Mapping[str, str], body: bytes, limit: int, deadline: Deadline) -> Answer:
        assert (limit, deadline) == (googleauth.ANSWER_BYTES, SOON)
        self.asked.append(Asked("POST", url, headers, body))
        return self.answers[url]

    @property
    def urls(self) -> list[str]:
        return [asked.url.partition("?")[0] for asked in self.asked]


def says(value: object, status: int = 200) -> Answer:
    return Answer(status, JSON_HEADERS, (), json.dumps(value).encode())


def clock() -> datetime:
    return datetime.now(UTC)


def account(subject: SubjectFile | SubjectUrl, impersonation: str | None = None) -> ExternalAccount:
    return ExternalAccount(AUDIENCE, JWT, STS, subject, impersonation, None)


@pytest.fixture
def subject(tmp_path: Path) -> SubjectFile:
    (tmp_path / "token").write_text("projected.jwt\n")
    return SubjectFile(tmp_path / "token", None)


def federated(google: Google, found: ExternalAccount) -> Fetched:
    return googleauth.from_external_account(google, found, SOON, clock)


def test_a_projected_token_is_exchanged_at_sts_and_nobody_else_is_asked(subject: SubjectFile) -> None:
    google = Google({STS: says({"access_token": "ya29.federated", "expires_in": 3600, "token_type": "Bearer"})})
    fetched = federated(google, account(subject))
    assert fetched.token == "ya29.federated"
    assert 3590 < fetched.seconds <= 3600
    (asked,) = google.asked
    assert (asked.method, asked.url) == ("POST", STS)
    assert asked.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": AUDIENCE,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": "projected.jwt",
        "subject_token_type": JWT,
    }


def test_a_renewed_projected_token_is_read_for_each_exchange(subject: SubjectFile) -> None:
    google = Google({STS: says({"access_token": "ya29.federated", "expires_in": 3600})})
    found = account(subject)
    federated(google, found)
    subject.path.write_text("renewed.jwt")
    federated(google, found)
    assert [asked.form["subject_token"] for asked in google.asked] == ["projected.jwt", "renewed.jwt"]


def test_a_service_account_is_impersonated_with_the_exchanged_token(subject: SubjectFile) -> None:
    end = (datetime.now(UTC) + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    google = Google(
        {
            STS: says({"access_token": "ya29.federated", "expires_in": 3600}),
            IMPERSONATION: says({"accessToken": "ya29.account", "expireTime": end}),
        }
    )
    fetched = federated(google, account(subject, IMPERSONATION))
    assert fetched.token == "ya29.account"
    assert 500 < fetched.seconds <= 600
    assert google.urls == [STS, IMPERSONATION]
    headers = {name.lower(): value for name, value in google.asked[1].headers.items()}
    assert headers["authorization"] == "Bearer ya29.federated"


def test_githubs_token_is_asked_of_github_and_shown_to_sts_alone() -> None:
    github = GITHUB_URL.partition("?")[0]
    google = Google(
        {github: says({"value": "github.jwt"}), STS: says({"access_token": "ya29.federated", "expires_in": 3600})}
    )
    fetched = federated(google, account(SubjectUrl(GITHUB_URL, "Bearer runner", "value")))
    assert fetched.token == "ya29.federated"
    first, second = google.asked
    assert (first.url, first.headers["Authorization"]) == (GITHUB_URL, "Bearer runner")
    assert second.form["subject_token"] == "github.jwt"
    assert "runner" not in json.dumps([*second.headers.values(), second.body.decode()])


def test_a_users_refresh_token_goes_to_googles_token_endpoint_alone() -> None:
    google = Google({OAUTH: says({"access_token": "ya29.user", "expires_in": 3599, "scope": "x"})})
    user = AuthorizedUser("id", "secret", "refresh")
    fetched = googleauth.from_authorized_user(google, user, SOON, clock)
    assert fetched.token == "ya29.user"
    (asked,) = google.asked
    assert asked.url == OAUTH
    assert asked.form["refresh_token"] == "refresh"


ACCOUNT = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default"


def test_the_metadata_server_is_asked_for_the_account_and_its_token() -> None:
    google = Google(
        {
            f"{ACCOUNT}/": says({"email": "acme.svc.id.goog", "scopes": [], "aliases": ["default"]}),
            f"{ACCOUNT}/token": says({"access_token": "ya29.pod", "expires_in": 300, "token_type": "Bearer"}),
        }
    )
    fetched = googleauth.from_metadata_server(google, METADATA, SOON, clock)
    assert fetched.token == "ya29.pod"
    assert 290 < fetched.seconds <= 300
    assert google.urls == [f"{ACCOUNT}/", f"{ACCOUNT}/token"]
    assert {asked.headers["metadata-flavor"] for asked in google.asked} == {"Google"}


@pytest.mark.parametrize(
    "answer",
    [
        says({}, 400),
        says({"error": "sesame"}, 403),
        says({}, 429),
        says({}, 500),
        says({}, 503),
        says({}),
        says([]),
        says("sesame"),
        says({"access_token": "sesame"}),
        says({"access_token": "sesame", "expires_in": "soon"}),
        says({"access_token": "sesame", "expires_in": None}),
        says({"access_token": "two sesame", "expires_in": 300}),
        says({"access_token": "sesame\r\nX-Evil: 1", "expires_in": 300}),
        says({"access_token": "sesame" * 4096, "expires_in": 300}),
        says({"access_token": 1, "expires_in": 300}),
        Answer(200, JSON_HEADERS, (), b"\xffsesame"),
    ],
)
def test_an_answer_without_a_token_is_an_error_at_once_that_does_not_show_it(
    subject: SubjectFile, answer: Answer
) -> None:
    google = Google({STS: answer})
    with pytest.raises(UnavailableError) as caught:
        federated(google, account(subject))
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
    assert len(google.asked) == 1  # the library would try again for half a minute
    error: BaseException | None = caught.value
    while error is not None:  # nor does what a log would print below it
        assert "sesame" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/token",
        "http://sts.googleapis.com/v1/token",
        "https://iamcredentials.googleapis.com:8443/x",
        "http://metadata.google.internal/computeMetadata/v1/",
    ],
)
def test_nobody_else_is_asked_whatever_the_library_wants(url: str) -> None:
    google = Google({})
    origins = frozenset({Origin.of(STS), Origin.of(IMPERSONATION)})
    with pytest.raises(UnavailableError, match="is not who gives such tokens"):
        googleauth.Request(google, origins, SOON)(url)
    assert google.asked == []


def test_a_wire_that_fails_ends_it_at_once(subject: SubjectFile) -> None:
    dead = UnavailableError(Reason.REGISTRY_UNREACHABLE, "nothing answered in time", outage=True)

    class Dead(Google):
        def post(self, url: str, headers: Mapping[str, str], body: bytes, limit: int, deadline: Deadline) -> Answer:
            self.asked.append(Asked("POST", url, headers))
            raise dead

    google = Dead({})
    with pytest.raises(UnavailableError, match="nothing answered in time"):
        federated(google, account(subject))
    assert len(google.asked) == 1


@pytest.mark.parametrize("content", [None, b"", b"two sesame", b"a" * 100_000])
def test_a_foreign_token_that_cannot_be_read_names_its_file(subject: SubjectFile, content: bytes | None) -> None:
    if content is None:
        subject.path.unlink()
    else:
        subject.path.write_bytes(content)
    google = Google({})
    with pytest.raises(UnavailableError, match="subject token file") as caught:
        federated(google, account(subject))
    assert "sesame" not in caught.value.message
    assert google.asked == []
