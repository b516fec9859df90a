"""What is said to be included is included: every name that the inner pattern matches, the outer one matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.globs import ImageGlob, match_text
from gate.core.inclusion import glob_within, match_within, text_within
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Match

PATTERNS = st.text(alphabet="ab*", max_size=6)
TEXTS = st.text(alphabet="ab", max_size=3)
FILLED = st.text(alphabet="ab", min_size=1, max_size=3)
SEGMENTS = st.sampled_from(["a", "b", "*", "a*", "*b", "a*b", "**"])
HOSTS = st.sampled_from(["r.example", "*.example", "r.*", "q.example", "r.example:5000", "*.example:5000"])
GLOBS = st.one_of(
    st.just("**"),
    st.builds(
        lambda host, path: f"{host}/{'/'.join(path)}",
        HOSTS.filter(lambda host: "." in host),
        st.lists(SEGMENTS, min_size=1, max_size=4),
    ),
).map(ImageGlob.parse)
IMAGES = st.builds(
    lambda host, path: Reference(host, "/".join(path)),
    st.sampled_from(["r.example", "q.example", "r.example:5000", "r.test"]),
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "x"]), min_size=1, max_size=5),
)
DIGESTS = [Digest.of(b"1"), Digest.of(b"2")]


def several(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


MATCHES = st.builds(
    Match,
    st.lists(GLOBS, min_size=1, max_size=2).map(tuple),
    several(["RootSync", "RepoSync"]),
    several(["a", "a*", "*"]),
    several(["a", "*a", "*"]),
    st.lists(st.sampled_from(DIGESTS), max_size=2, unique=True).map(tuple),
)
CONTEXTS = st.builds(
    Context,
    st.sampled_from([None, "RootSync", "RepoSync"]),
    st.sampled_from([None, "a", "ab", "b"]),
    st.sampled_from([None, "a", "ba", "b"]),
)


def text_of(pattern: str, data: st.DataObject) -> str:
    """A text that the pattern matches."""
    first, *rest = pattern.split("*")
    return first + "".join(data.draw(TEXTS) + part for part in rest)


def image_of(glob: ImageGlob, data: st.DataObject) -> Reference:
    """An image that the glob matches."""
    if glob.host is None:
        return data.draw(IMAGES)
    segments = [
        "/".join(data.draw(st.lists(FILLED, min_size=1, max_size=3))) if part == "**" else text_of(part, data) or "a"
        for part in glob.path
    ]
    host = ".".join("example" if label == "*" else label for label in glob.host)
    return Reference(f"{host}:{glob.port}" if glob.port else host, "/".join(segments))


@given(PATTERNS, PATTERNS, st.data())
def test_a_text_pattern_within_another_matches_nothing_that_the_other_does_not(
    inner: str, outer: str, data: st.DataObject
) -> None:
    text = text_of(inner, data)
    assert match_text(inner, text)
    assert match_text(outer, text) or not text_within(inner, outer)


@given(GLOBS, GLOBS, st.data())
def test_a_glob_within_another_matches_no_image_that_the_other_does_not(
    inner: ImageGlob, outer: ImageGlob, data: st.DataObject
) -> None:
    image = image_of(inner, data)
    assert inner.matches(image)
    assert outer.matches(image) or not glob_within(inner, outer)


@given(MATCHES, MATCHES, IMAGES, st.sampled_from([None, *DIGESTS]), CONTEXTS)
def test_a_match_within_another_is_about_no_question_that_the_other_is_not(
    inner: Match, outer: Match, image: Reference, digest: Digest | None, context: Context
) -> None:
    asked = image if digest is None else image.at(digest)
    if match_within(inner, outer) and inner.matches(asked, context):
        assert outer.matches(asked, context)


@given(MATCHES)
def test_every_match_is_within_itself(match: Match) -> None:
    assert match_within(match, match)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ("r.example/a", "**", True),
        ("**", "r.example/**", False),
        ("r.example/a", "r.example/a", True),
        ("r.example/a", "r.example/b", False),
        ("r.example/a", "r.example/*", True),
        ("r.example/*", "r.example/a", False),
        ("r.example/a/b", "r.example/*", False),
        ("r.example/a/b", "r.example/**", True),
        ("r.example/**", "r.example/*", False),
        ("r.example/**", "r.example/a/**", False),
        ("r.example/a/**", "r.example/**", True),
        ("r.example/a/**/b", "r.example/a/**", True),
        ("r.example/a/**", "r.example/a/**/b", False),
        ("r.example/**", "r.example/**/**", False),
        ("r.example/**/**", "r.example/**", True),
        ("r.example/a*b", "r.example/a*", True),
        ("r.example/a*", "r.example/a*b", False),
        ("r.example/a", "*.example/a", True),
        ("*.example/a", "r.example/a", False),
        ("r.example:5000/a", "r.example/a", False),
        ("s.r.example/a", "*.example/a", False),
        ("r.example.test/a", "r.example/a", False),
        ("r.example/a", "r.example.test/a", False),
        ("nginx.example/a", "docker.io/**", False),
        ("docker.io/nginx", "docker.io/library/*", True),
    ],
)
def test_a_glob_is_within_another_where_that_is_plain(inner: str, outer: str, within: bool) -> None:
    assert glob_within(ImageGlob.parse(inner), ImageGlob.parse(outer)) is within


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ("a", "a*", True),
        ("a*", "*", True),
        ("*", "*", True),
        ("*", "", False),
        ("*", "a", False),
        ("a*b", "a*b", True),
        ("ab*", "a*b*", True),
        ("a*", "a*b", False),
    ],
)
def test_a_text_pattern_is_within_another_where_that_is_plain(inner: str, outer: str, within: bool) -> None:
    assert text_within(inner, outer) is within


EVERYTHING = (ImageGlob.parse("**"),)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        (Match(EVERYTHING, kinds=("RootSync",)), Match(EVERYTHING), True),
        (Match(EVERYTHING), Match(EVERYTHING, kinds=("RootSync",)), False),
        (Match(EVERYTHING, kinds=("RootSync",)), Match(EVERYTHING, kinds=("RepoSync",)), False),
        (Match(EVERYTHING, kinds=("RootSync",)), Match(EVERYTHING, kinds=("RepoSync", "RootSync")), True),
        (Match(EVERYTHING, kinds=("RepoSync", "RootSync")), Match(EVERYTHING, kinds=("RootSync",)), False),
        (Match(EVERYTHING, namespaces=("a",)), Match(EVERYTHING, namespaces=("a*",)), True),
        (Match(EVERYTHING, namespaces=("a", "b")), Match(EVERYTHING, namespaces=("a*",)), False),
        (Match(EVERYTHING), Match(EVERYTHING, namespaces=("*",)), False),  # who asks may not be known
        (Match(EVERYTHING, names=("a",)), Match(EVERYTHING, names=("b", "a")), True),
        (Match(EVERYTHING, names=("a*",)), Match(EVERYTHING, names=("a",)), False),
        (Match(EVERYTHING), Match(EVERYTHING, names=("a",)), False),
        (Match(EVERYTHING, digests=(DIGESTS[0],)), Match(EVERYTHING), True),
        (Match(EVERYTHING, digests=(DIGESTS[0],)), Match(EVERYTHING, digests=(DIGESTS[1],)), False),
        (Match(EVERYTHING), Match(EVERYTHING, digests=(DIGESTS[0],)), False),
    ],
)
def test_a_match_is_within_another_where_each_of_its_fields_is(inner: Match, outer: Match, within: bool) -> None:
    assert match_within(inner, outer) is within


def test_each_image_has_to_be_within_some_image() -> None:
    both = tuple(map(ImageGlob.parse, ("r.example/a", "q.example/b")))
    wider = tuple(map(ImageGlob.parse, ("q.example/*", "r.example/*")))
    assert match_within(Match(both), Match(wider))
    assert not match_within(Match(both), Match(wider[:1]))
