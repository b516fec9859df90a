from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.registry import urls
from gate.registry.urls import Origin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Registry.Example/x", Origin("https", "registry.example", 443)),
        ("https://registry.example:443/x", Origin("https", "registry.example", 443)),
        ("http://registry.example", Origin("http", "registry.example", 80)),
        ("https://registry.example:8443?x", Origin("https", "registry.example", 8443)),
        ("https://[FD00::1]:5000/", Origin("https", "fd00::1", 5000)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: Origin) -> None:
    assert Origin.of(url) == expected


@pytest.mark.parametrize("text", ["https://a.example", "https://a.example:8443", "http://[::1]:5000", "https://[::1]"])
def test_an_origin_reads_back_as_it_is_written(text: str) -> None:
    assert str(Origin.of(text)) == text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example",
        "ftp://a.example",
        "https://",
        "https:///x",
        "https://user@a.example",
        "https://user:pw@a.example",
        "https://@a.example",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:x",
        "https://a.example:-1",
        "https://a example",
        "https://a.example\\@b.example",
        "https://a.example\n",
        "https://a\t.example",
        "https://ä.example",
        "https://a%2eexample",
        "https://[::1%25eth0]",
        "https://[v1.x]",
        "https://a[::1]",
        "https://[::1]a",
        "https://[::1",
        "https://a.example:٣",
        "https://-a.example",
        "https://a.example.",
        "https://" + "a" * 256,
        "https://a.example/" + "x" * 8192,
    ],
)
def test_what_readers_disagree_about_has_no_origin(url: str) -> None:
    with pytest.raises(MalformedError):
        Origin.of(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(MalformedError) as caught:
        Origin.of("https://user:sesame@a.example")
    assert "sesame" not in caught.value.message


BASE = "https://a.example/v2/x?y"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/other", "https://a.example/other"),
        ("?n=1", "https://a.example/v2/x?n=1"),
        ("//b.example/z", "https://b.example/z"),
        ("https://b.example/z", "https://b.example/z"),
        ("../z", "https://a.example/z"),
    ],
)
def test_a_location_is_resolved_where_it_is_found(location: str, expected: str) -> None:
    assert urls.resolve(BASE, location) == expected


@pytest.mark.parametrize(
    "location", ["https:/x", "https:x", "https:///x", "javascript:x", "/a b", "/\\b.example", "/\u0000"]
)
def test_a_location_that_would_be_repaired_is_refused(location: str) -> None:
    with pytest.raises(MalformedError):
        urls.resolve(BASE, location)


@given(st.text(alphabet=st.sampled_from("htps:/?#[]@abc.example0189%\\ -_é\t"), max_size=50))
def test_where_a_location_has_an_origin_requests_sees_the_same(location: str) -> None:
    try:
        url = urls.resolve(BASE, location)
        origin = Origin.of(url)
    except MalformedError:
        return
    try:
        prepared = requests.Request("GET", url).prepare().url or ""
    except requests.RequestException:
        return
    parts = urlsplit(prepared)
    assert (parts.scheme, (parts.hostname or "").lower()) == (origin.scheme, origin.host)
    assert parts.username is None
