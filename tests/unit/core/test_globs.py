"""Globs against an oracle that is slow and plainly right, and against their own documentation."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.core.globs import ImageGlob, match_text
from gate.core.oci import Reference


def text_oracle(pattern: str, text: str) -> bool:
    """Every * is any characters, none included."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def path_oracle(pattern: str, path: str) -> bool:
    """A segment ** is one or more segments; any other * is characters within a segment."""
    parts = [
        r"[^/]+(?:/[^/]+)*" if segment == "**" else "[^/]*".join(map(re.escape, segment.split("*")))
        for segment in pattern.split("/")
    ]
    return re.fullmatch("/".join(parts), path) is not None


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=10))
def test_a_text_matches_exactly_when_the_oracle_says_so(pattern: str, text: str) -> None:
    assert match_text(pattern, text) == text_oracle(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "ab", False),
        ("a", "", False),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "a\nb", True),
        ("a*", "a", True),
        ("a*a", "a", False),  # the two ends may not share a character
        ("ab*ba", "aba", False),
        ("a*b*a", "aba", True),
        ("a*b*b*a", "aba", False),
        ("*b*", "abc", True),
        ("*a*b*", "aba", True),  # the first place of a middle part leaves most for the next
        ("a*", "ba", False),
        ("a*c", "bc", False),
        ("*ab*b", "ab", False),  # nor may a middle part and an end
        ("*ab*ba*", "aba", False),
        ("a.c", "abc", False),  # nothing but * is special
        ("a?c", "abc", False),
        ("[ab]", "a", False),
    ],
)
def test_a_star_is_any_characters_and_nothing_else_is_special(pattern: str, text: str, matches: bool) -> None:
    assert match_text(pattern, text) is matches


segments = st.text(alphabet="ab", min_size=1, max_size=3)
patterns = st.lists(
    st.just("**") | st.text(alphabet="ab*", min_size=1, max_size=3).filter(lambda s: "**" not in s),
    min_size=1,
    max_size=6,
)


@given(patterns, st.lists(segments, min_size=1, max_size=7))
def test_a_repository_matches_exactly_when_the_oracle_says_so(pattern: list[str], path: list[str]) -> None:
    glob = ImageGlob.parse("reg.io/" + "/".join(pattern))
    assert glob.matches(Reference("reg.io", "/".join(path))) == path_oracle("/".join(pattern), "/".join(path))


@pytest.mark.parametrize(
    ("glob", "image", "matches"),
    [
        ("**", "anything.example:5000/a/b", True),
        ("reg.io/a", "reg.io/a", True),
        ("reg.io/a", "reg.io/a:tag", True),
        ("reg.io/a", "reg.io/a/b", False),
        ("reg.io/a", "reg.io/ab", False),
        ("reg.io/a", "other.io/a", False),
        ("reg.io/*", "reg.io/a", True),
        ("reg.io/*", "reg.io/a/b", False),
        ("reg.io/**", "reg.io/a/b", True),
        ("reg.io/a/**", "reg.io/a", False),  # ** is at least one segment
        ("reg.io/a/**", "reg.io/a/b", True),
        ("reg.io/a/**", "reg.io/a/b/c", True),
        ("reg.io/a/**", "reg.io/ab/c", False),
        ("reg.io/**/a", "reg.io/a", False),
        ("reg.io/**/a", "reg.io/b/c/a", True),
        ("reg.io/**/**", "reg.io/a", False),
        ("reg.io/**/**", "reg.io/a/b", True),
        ("reg.io/a/**/b/**/c", "reg.io/a/x/b/y/c", True),
        ("reg.io/a/**/b/**/c", "reg.io/a/b/x/b/y/c", True),
        ("reg.io/a/**/b/**/c", "reg.io/a/x/b/c", False),
        ("reg.io/a/**/b/**/c", "reg.io/a/x/y/z/c", False),
        ("reg.io/**/a/**/a/**", "reg.io/x/a/y/a/z", True),
        ("reg.io/**/a/**/a/**", "reg.io/x/a/y/z", False),  # one segment is not both
        ("reg.io/a-*", "reg.io/a-b", True),
        ("reg.io/a-*", "reg.io/a", False),
        ("reg.io/*/prod", "reg.io/team/prod", True),
        ("REG.io/a", "reg.io/a", True),
        ("*.REG.io/a", "x.reg.io/a", True),
        ("reg.io:443/a", "reg.io/a", True),
        ("reg.io/a", "reg.io:443/a", True),
        ("reg.io:5000/a", "reg.io:5000/a", True),
        ("reg.io/a", "reg.io:5000/a", False),
        ("reg.io:5000/**", "reg.io/a", False),
        ("*.reg.io/**", "a.reg.io/x", True),
        ("*.reg.io/**", "reg.io/x", False),
        ("*.reg.io/**", "a.b.reg.io/x", False),  # * is one label
        ("*.reg.io/**", "a.reg.io.evil.example/x", False),
        ("*.reg.io/**", "areg.io/x", False),
        ("*.reg.io/**", "a.evil.example/x", False),
        ("reg.*/a", "reg.evil.example/a", False),
        ("reg.*:5000/a", "reg.io:5000/a", True),
        ("reg.*:5000/a", "reg.io/a", False),
        ("*:5000/a", "registry:5000/a", True),
        ("*:5000/a", "reg.io:5000/a", False),
        ("reg:443/*", "reg:443/a", True),
        ("docker.io/acme/*", "acme/app", True),
        ("docker.io/*", "acme/app", False),
        ("index.docker.io/acme/*", "docker.io/acme/app", True),
        ("docker.io/nginx", "nginx", True),
        ("docker.io/library/*", "nginx", True),
        ("docker.io/**", "nginx", True),
        ("docker.io/**", "acme/app", True),
        ("localhost/a", "localhost/a", True),
        ("localhost:5000/*", "localhost:5000/a", True),
        ("[::1]:5000/*", "[::1]:5000/a", True),
        ("127.0.0.1:5000/**", "127.0.0.1:5000/a/b", True),
    ],
)
def test_a_glob_matches_canonical_names(glob: str, image: str, matches: bool) -> None:
    assert ImageGlob.parse(glob).matches(Reference.parse(image)) is matches


@pytest.mark.parametrize(
    ("glob", "image"),
    [
        ("*.reg.io:443/a", "x.reg.io/a"),
        ("docker.io/*", "nginx"),
        ("docker.io/ngin*", "nginx"),
    ],
)
def test_a_glob_with_a_star_is_made_canonical_as_one_without(glob: str, image: str) -> None:
    # A glob that is accepted and can never match is a rule that silently does not apply.
    assert ImageGlob.parse(glob).matches(Reference.parse(image))


def test_a_star_in_the_host_does_not_stand_for_a_port() -> None:
    assert not ImageGlob.parse("reg.*/a").matches(Reference.parse("reg.io:5000/a"))


@given(st.text(alphabet="ab*./:", min_size=1, max_size=14))
def test_the_tag_and_digest_of_an_image_change_nothing(text: str) -> None:
    try:
        glob = ImageGlob.parse(text)
    except MalformedError:
        return
    for image in ("a.b/a", "a.b/a/b", "a.a/b"):
        plain = Reference.parse(image)
        assert glob.matches(plain) == glob.matches(Reference.parse(f"{image}:t@sha256:{'0' * 64}"))


@given(st.from_regex(r"[ab]{1,2}(\.[ab]){1,2}(:5000)?/[ab]{1,2}(/[ab]{1,2}){0,2}", fullmatch=True))
def test_a_glob_without_stars_matches_exactly_its_own_name(text: str) -> None:
    glob = ImageGlob.parse(text)
    assert glob.matches(Reference.parse(text))
    assert not glob.matches(Reference.parse(text + "x"))
    assert not glob.matches(Reference.parse("x" + text))
    assert glob.literal_host == text.partition("/")[0]


@pytest.mark.parametrize(
    ("glob", "read"),
    [
        ("**", ImageGlob(None, "", ())),
        ("REG.io:5000/a/*/**", ImageGlob(("reg", "io"), "5000", ("a", "*", "**"))),
        ("*.Reg.io:443/a", ImageGlob(("*", "reg", "io"), "", ("a",))),
        ("docker.io/nginx", ImageGlob(("docker", "io"), "", ("library", "nginx"))),
        ("[::1]/a", ImageGlob(("[::1]",), "", ("a",))),
        ("[::1]:5000/a", ImageGlob(("[::1]",), "5000", ("a",))),
    ],
)
def test_a_glob_is_kept_as_the_labels_of_its_host_its_port_and_its_segments(glob: str, read: ImageGlob) -> None:
    assert ImageGlob.parse(glob) == read


@pytest.mark.parametrize(
    ("glob", "host"),
    [
        ("**", None),
        ("*.reg.io/a", None),
        ("reg.*/a", None),
        ("reg.io/**", "reg.io"),
        ("REG.io:443/**", "reg.io"),
        ("reg.io:5000/a", "reg.io:5000"),
        ("index.docker.io/a/*", "docker.io"),
        ("[::1]:5000/a", "[::1]:5000"),
    ],
)
def test_only_a_host_that_is_written_out_is_named_by_the_operator(glob: str, host: str | None) -> None:
    assert ImageGlob.parse(glob).literal_host == host


NOT_A_GLOB = "is not a repository glob: write HOST/PATH, or ** for every image"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", NOT_A_GLOB),
        ("*", NOT_A_GLOB),
        ("***", NOT_A_GLOB),
        ("reg.io", NOT_A_GLOB),
        ("reg.io/", NOT_A_GLOB),
        ("/a", "does not begin with a registry host; write docker.io/… for Docker Hub"),
        ("reg.io/" + "a" * 512, NOT_A_GLOB),
        ("reg.io//a", NOT_A_GLOB),
        ("reg.io/a/", NOT_A_GLOB),
        ("reg.io/A", NOT_A_GLOB),
        ("reg.io/a?", NOT_A_GLOB),
        ("reg.io/[ab]", NOT_A_GLOB),
        ("reg.io/../a", NOT_A_GLOB),
        ("reg_.io/a", NOT_A_GLOB),
        ("*.io:0/a", NOT_A_GLOB),
        ("https://reg.io/a", NOT_A_GLOB),
        ("r*g.io/a", "has a * within a label of the host; it stands for one whole label"),
        ("*reg.io/a", "has a * within a label of the host; it stands for one whole label"),
        ("**.reg.io/a", "has a * within a label of the host; it stands for one whole label"),
        ("r*g:5000/a", "has a * within a label of the host; it stands for one whole label"),
        ("reg.io/a**", "has a ** within a segment; it stands for whole segments"),
        ("reg.io/***", "has a ** within a segment; it stands for whole segments"),
        ("reg.io/**a/b", "has a ** within a segment; it stands for whole segments"),
        ("acme/app", "does not begin with a registry host; write docker.io/… for Docker Hub"),
        ("*/a", "does not begin with a registry host; write docker.io/… for Docker Hub"),
        ("reg.io/a@x*", "names a tag or a digest; globs match repositories only"),
        ("reg.io/a:v*", "names a tag or a digest; globs match repositories only"),
        ("reg.io/a@sha256:" + "0" * 64, "names a tag or a digest; globs match repositories only"),
    ],
)
def test_a_glob_that_could_never_match_or_mislead_is_refused(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        ImageGlob.parse(text)
    assert caught.value.message.startswith('"')
    assert caught.value.message.endswith(message)


def test_a_glob_of_512_characters_is_the_longest() -> None:
    stars = "/".join(["**"] * 128)
    host = "a." * 62 + "abcd"
    assert len(f"{host}/{stars}") == 512
    assert ImageGlob.parse(f"{host}/{stars}").literal_host == host
    with pytest.raises(MalformedError):
        ImageGlob.parse(f"{host}e/{stars}")


@given(st.text(max_size=40) | st.text(alphabet="ab*./:@-_[]0", max_size=20))
def test_no_text_raises_anything_but_malformed_error(text: str) -> None:
    try:
        glob = ImageGlob.parse(text)
    except MalformedError as error:
        assert len(error.message.splitlines()) == 1
    else:
        glob.matches(Reference.parse("reg.io/a"))


def test_a_text_with_many_stars_does_not_backtrack() -> None:
    # A backtracking matcher would try some 10**60 ways before it gave up.
    assert not match_text("*a" * 100 + "*b", "a" * 20_000)


def test_a_repository_glob_with_many_stars_does_not_backtrack() -> None:
    glob = ImageGlob.parse("reg.io/" + "**/*a*a/" * 30 + "b")
    assert not glob.matches(Reference("reg.io", "/".join(["aa"] * 100)))
