from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry import realm
from gate.registry.addresses import classify
from gate.registry.urls import Origin


def trusted(url: str, registry: str, *, allow_private: bool = False, listed: tuple[str, ...] = ()) -> bool:
    try:
        realm.trusted(url, Origin.of(registry), allow_private=allow_private, classify=classify, listed=listed)
    except UnavailableError as error:
        assert (error.reason, error.outage) == (Reason.REGISTRY_ADDRESS, False)
        return False
    return True


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("https://us-docker.pkg.dev/v2/token", "https://us-docker.pkg.dev"),
        ("https://auth.docker.io/token", "https://registry-1.docker.io"),
        ("https://ghcr.io/token", "https://ghcr.io"),
        ("https://gitlab.example/jwt/auth", "https://registry.gitlab.example"),
        ("https://auth.example.co.uk/token", "https://registry.example.co.uk"),
        ("https://registry.example:8443/token", "https://registry.example"),
        ("https://localhost:5001/token", "https://localhost:5000"),
        ("https://10.0.0.5:5001/token", "https://10.0.0.5:5000"),
        ("http://registry.example/token", "http://registry.example"),
        ("http://10.0.0.5:5001/token", "http://10.0.0.5:5000"),
        ("https://auth.registry.example/token", "http://registry.example"),
        ("https://registry.example/token?account=x", "https://registry.example"),
    ],
)
def test_the_registrys_own_party_is_believed(url: str, registry: str) -> None:
    assert trusted(url, registry)


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("http://registry.example/token", "https://registry.example"),
        ("http://auth.registry.example/token", "http://registry.example"),
        ("https://evil.example/token", "https://registry.example"),
        ("https://evil.com/token", "https://registry.example.com"),
        ("https://evil.co.uk/token", "https://registry.co.uk"),
        ("https://evil.co.uk/token", "https://registry.example.co.uk"),
        ("https://com/token", "https://example.com"),
        ("https://localhost/token", "https://registry.example"),
        ("https://metadata/token", "https://registry"),
        ("https://10.0.0.6/token", "https://10.0.0.5"),
        ("https://8.8.8.8/token", "https://1.8.8.8"),
        ("https://127.0.0.1/token", "https://registry.example"),
        ("https://2.1/token", "https://registry.2.1"),
        ("https://[::1]/token", "https://registry.example"),
        ("https://user@registry.example/token", "https://registry.example"),
        ("https://registry.example/token#x", "https://registry.example"),
        ("https://registry.example/token?scope=x", "https://registry.example"),
        ("https://registry.example/token?scope", "https://registry.example"),
        ("https://registry.example/token?s%63ope=x", "https://registry.example"),
        ("https://registry.example/token?service=x", "https://registry.example"),
        ("registry.example", "https://registry.example"),
        ("", "https://registry.example"),
    ],
)
def test_another_party_is_not_believed(url: str, registry: str) -> None:
    assert not trusted(url, registry)


def test_allow_private_admits_a_private_address_alone() -> None:
    registry = "https://registry.example"
    assert trusted("https://10.0.0.6/token", registry, allow_private=True)
    assert not trusted("https://169.254.169.254/token", registry, allow_private=True)
    assert not trusted("https://8.8.8.8/token", registry, allow_private=True)
    assert not trusted("https://evil.com/token", registry, allow_private=True)
    assert not trusted("http://10.0.0.6/token", registry, allow_private=True)


def test_a_realm_that_the_operator_lists_is_believed_at_its_port_over_https_alone() -> None:
    def believed(url: str) -> bool:
        return trusted(url, "https://registry.example", listed=("auth.other", "10.0.0.6:8443"))

    assert believed("https://auth.other/token")
    assert believed("https://Auth.Other:443/token")
    assert believed("https://10.0.0.6:8443/token")
    assert not believed("https://auth.other:8443/token")
    assert not believed("https://10.0.0.6/token")
    assert not believed("https://sub.auth.other/token")
    assert not believed("http://auth.other/token")
    assert not believed("https://auth.other/token?scope=everything")


def test_the_question_keeps_the_realms_own_query() -> None:
    url = realm.token_url("https://a.example/t?x=1&y", "reg & co", "repository:ns/app:pull")
    assert url == "https://a.example/t?x=1&y=&service=reg+%26+co&scope=repository%3Ans%2Fapp%3Apull"


def test_without_a_service_none_is_named() -> None:
    assert realm.token_url("https://a.example/t", None, "s") == "https://a.example/t?scope=s"


@given(st.text(max_size=60))
def test_any_realm_is_believed_or_refused(text: str) -> None:
    assert trusted(text, "https://registry.example") in (True, False)
