from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core import limits
from gate.core.errors import MalformedError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.referrers import Entries, next_query
from gate.registry.urls import Origin

REGISTRY = Origin("https", "a.example", 443)
PAGE = "/v2/ns/app/referrers/sha256:00"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("", None),
        ('<?n=1>; rel="next"', "n=1"),
        ("<?n=1>; rel=next", "n=1"),
        ('<?n=1>; title="x"; rel="prev next"', "n=1"),
        ('<?p>; rel="prev", <?n=2>;rel="next"', "n=2"),
        ('<?p>; rel="prev"', None),
        ("<?p>", None),
        ('<https://b.example/>; rel="other"', None),
        (f'<https://a.example:443{PAGE}?n=3>; rel="next"', "n=3"),
    ],
)
def test_the_next_page_is_found(link: str, expected: str | None) -> None:
    assert next_query(link, REGISTRY, PAGE) == expected


def test_the_next_page_of_a_later_page_is_found() -> None:
    assert next_query('<?n=2>; rel="next"', REGISTRY, f"{PAGE}?n=1") == "n=2"


@given(st.text(alphabet=st.sampled_from('<>?;,="relnxt /:.ab\\'), max_size=60))
def test_a_link_is_read_or_malformed(link: str) -> None:
    try:
        query = next_query(link, REGISTRY, PAGE)
    except MalformedError:
        return
    assert query is None or query


def page_of(entries: int) -> bytes:
    """Return a page with as many entries, none of which is a descriptor: they count all the same."""
    return json.dumps({"manifests": [{}] * entries}).encode()


@pytest.mark.parametrize("pages", [(limits.INDEX_ENTRIES,), (limits.INDEX_ENTRIES - 1, 1)])
def test_a_list_has_no_more_entries_on_all_its_pages_than_the_limit(pages: tuple[int, ...]) -> None:
    entries = Entries("'x'")
    for page in map(page_of, pages):
        entries.add(page)
    with pytest.raises(UnavailableError, match=r"^more than 256 referrers of 'x' are listed$") as caught:
        entries.add(page_of(1))
    assert caught.value.reason is Reason.LIMIT


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps({"manifests": value}).encode()
    )
)
def test_a_page_is_read_or_refused(page: bytes) -> None:
    try:
        Entries("x").add(page)
    except (MalformedError, UnavailableError):
        return
