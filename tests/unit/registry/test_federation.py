"""Google's credentials files: what is believed of them, and that nothing else reaches the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import ConfigError, MalformedError
from gate.registry.federation import (
    FILE_BYTES,
    AuthorizedUser,
    ExternalAccount,
    SubjectFile,
    SubjectUrl,
    parse,
    subject_token,
)

AUDIENCE = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/cluster"
IMPERSONATION = (
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
    "gate@acme.iam.gserviceaccount.com:generateAccessToken"
)
FEDERATION: dict[str, object] = {
    "universe_domain": "googleapis.com",
    "type": "external_account",
    "audience": AUDIENCE,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/var/run/secrets/sts/token", "format": {"type": "text"}},
    "token_info_url": "https://sts.googleapis.com/v1/introspect",
}
# As google-github-actions/auth writes it.
GITHUB_URL = "https://run-1.actions.githubusercontent.com/idtoken/abc?api-version=2.0&audience=x"
GITHUB: dict[str, object] = {
    "url": GITHUB_URL,
    "headers": {"Authorization": "Bearer sesame-runner"},
    "format": {"type": "json", "subject_token_field_name": "value"},
}
USER: dict[str, object] = {
    "type": "authorized_user",
    "client_id": "id.apps.googleusercontent.com",
    "client_secret": "sesame-client",
    "refresh_token": "sesame-refresh",
    "account": "",
    "quota_project_id": "acme",
}


def read(fields: object, *, laptop: bool = False) -> ExternalAccount | AuthorizedUser:
    return parse(json.dumps(fields).encode(), 'the credentials file "/c.json"', laptop=laptop)


def refused(fields: object, *, laptop: bool = False) -> str:
    with pytest.raises(ConfigError, match=r'the credentials file "/c\.json" cannot be used') as caught:
        read(fields, laptop=laptop)
    return caught.value.message


@pytest.mark.parametrize("laptop", [True, False])
def test_federation_from_a_file_is_believed_everywhere(laptop: bool) -> None:
    account = read(FEDERATION, laptop=laptop)
    assert account == ExternalAccount(
        AUDIENCE,
        "urn:ietf:params:oauth:token-type:jwt",
        "https://sts.googleapis.com/v1/token",
        SubjectFile(Path("/var/run/secrets/sts/token"), None),
        None,
        None,
    )


def test_a_service_account_may_be_impersonated() -> None:
    options = {"token_lifetime_seconds": 600}
    account = read(
        {**FEDERATION, "service_account_impersonation_url": IMPERSONATION, "service_account_impersonation": options}
    )
    assert isinstance(account, ExternalAccount)
    assert (account.impersonation_url, account.lifetime) == (IMPERSONATION, 600)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "service_account"},
        {"type": "external_account_authorized_user"},
        {"type": "impersonated_service_account"},
        {"type": None},
        {"universe_domain": "evil.example"},
        {"audience": "//evil.example/x"},
        {"audience": AUDIENCE + "/../x"},
        {"audience": None},
        {"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request"},
        {"token_url": "http://sts.googleapis.com/v1/token"},
        {"token_url": "https://sts.googleapis.com.evil.example/v1/token"},
        {"token_url": "https://sts.googleapis.com:8443/v1/token"},
        {"token_url": "https://sts.googleapis.com@evil.example/v1/token"},
        {"token_url": "https://evil.example/sts.googleapis.com/v1/token"},
        {"token_url": "https://sts.googleapis.com/v1/token?x=1"},
        {"token_url": "https://sts.googleapis.com/v1/../evil"},
        {"token_url": "http://127.0.0.1/v1/token"},
        {"token_url": None},
        {"service_account_impersonation_url": IMPERSONATION.replace("https", "http")},
        {"service_account_impersonation_url": IMPERSONATION.replace("googleapis.com/", "evil.example/")},
        {"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/other"},
        {"service_account_impersonation_url": IMPERSONATION + "?x=1"},
        {"service_account_impersonation": {"token_lifetime_seconds": 1}},
        {"service_account_impersonation": {"token_lifetime_seconds": 10**9}},
        {"service_account_impersonation": {"token_lifetime_seconds": "600"}},
        {"credential_source": None},
        {"credential_source": {}},
        {"credential_source": {"executable": {"command": "/bin/evil"}}},
        {"credential_source": {"file": "/t", "executable": {"command": "/bin/evil"}}},
        {"credential_source": {"environment_id": "aws1", "url": "http://169.254.169.254/x"}},
        {"credential_source": {"certificate": {"use_default_certificate_config": True}}},
        {"credential_source": {"file": "token"}},
        {"credential_source": {"file": ""}},
        {"credential_source": {"file": "/t", "headers": {}}},
        {"credential_source": {"file": "/t", "format": {"type": "xml"}}},
        {"credential_source": {"file": "/t", "format": {"type": "json"}}},
        {"credential_source": {"file": "/t", "url": GITHUB_URL}},
    ],
)
@pytest.mark.parametrize("laptop", [True, False])
def test_a_file_that_names_anybody_but_google_is_refused(change: dict[str, object], laptop: bool) -> None:
    refused({**FEDERATION, **change}, laptop=laptop)


def test_githubs_tokens_are_for_the_command_line_alone() -> None:
    account = read({**FEDERATION, "credential_source": GITHUB}, laptop=True)
    assert isinstance(account, ExternalAccount)
    assert account.subject == SubjectUrl(GITHUB_URL, "Bearer sesame-runner", "value")
    assert "asks no url" in refused({**FEDERATION, "credential_source": GITHUB})


@pytest.mark.parametrize(
    "change",
    [
        {"url": GITHUB_URL.replace("https", "http")},
        {"url": "https://evil.example/actions.githubusercontent.com"},
        {"url": "https://actions.githubusercontent.com.evil.example/x"},
        {"url": "https://evilactions.githubusercontent.com/x"},
        {"url": "https://x.actions.githubusercontent.com:8443/x"},
        {"url": "https://x.actions.githubusercontent.com@evil.example/x"},
        {"url": "http://169.254.169.254/computeMetadata/v1/"},
        {"headers": {}},
        {"headers": {"Authorization": "Bearer sesame", "Host": "evil.example"}},
        {"headers": {"Authorization": "Bearer sesame\r\nX-Evil: 1"}},
        {"headers": {"Authorization": 1}},
        {"headers": None},
    ],
)
def test_a_url_that_is_not_githubs_own_over_https_is_refused(change: dict[str, object]) -> None:
    message = refused({**FEDERATION, "credential_source": {**GITHUB, **change}}, laptop=True)
    assert "sesame" not in message


def test_a_users_own_credentials_are_for_the_command_line_alone() -> None:
    assert read(USER, laptop=True) == AuthorizedUser("id.apps.googleusercontent.com", "sesame-client", "sesame-refresh")
    assert "gate serve takes no other" in refused(USER)


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "refresh_token"])
def test_a_users_credentials_are_complete(missing: str) -> None:
    assert missing in refused({**USER, missing: ""}, laptop=True)


def test_secrets_of_a_file_are_never_printed() -> None:
    shown = repr(read(USER, laptop=True)) + repr(read({**FEDERATION, "credential_source": GITHUB}, laptop=True))
    assert "sesame" not in shown


@pytest.mark.parametrize("data", [b"", b"[]", b'{"type": "external_account", "type": "x"}', b" " * (FILE_BYTES + 1)])
def test_what_is_no_credentials_file_is_a_config_error(data: bytes) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        parse(data, "it", laptop=True)


@given(
    st.dictionaries(st.sampled_from(sorted(FEDERATION)), st.none() | st.text() | st.integers() | st.lists(st.text()))
)
def test_any_change_is_read_or_a_config_error(change: dict[str, object]) -> None:
    try:
        read({**FEDERATION, **change}, laptop=True)
    except ConfigError:
        return


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"aaa.bbb.ccc\n", None, "aaa.bbb.ccc"),
        (b'{"value": "aaa.bbb.ccc"}', "value", "aaa.bbb.ccc"),
    ],
)
def test_the_foreign_token_is_the_file_or_a_field_of_it(data: bytes, name: str | None, expected: str) -> None:
    assert subject_token(data, name) == expected


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", None),
        (b"two sesame", None),
        (b"\xff", None),
        (b"a" * 16385, None),
        (b"{}", "value"),
        (b"[]", "value"),
        (b'{"value": 1}', "value"),
        (b'{"value": "two sesame"}', "value"),
        (b" " * (FILE_BYTES + 1) + b'{"value": "x"}', "value"),
    ],
)
def test_what_is_no_token_is_malformed_and_not_shown(data: bytes, name: str | None) -> None:
    with pytest.raises(MalformedError) as caught:
        subject_token(data, name)
    assert "sesame" not in caught.value.message
