"""Outside strings in messages: one line, no invisible characters, bounded."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.quote import QUOTED_LIMIT, plain, quote


def test_a_plain_string_stands_in_double_quotes() -> None:
    assert quote("registry.example/näme") == '"registry.example/näme"'


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ("X\nb\r\tc", '"X\\nb\\r\\tc"'),
        ("\x00\x1b[31m\x7f\x9b", '"\\x00\\x1b[31m\\x7f\\x9b"'),  # Cc: also the escape sequences of terminals
        ("\u202egpj\u2066\u200f", '"\\u202egpj\\u2066\\u200f"'),  # Cf: bidirectional overrides, isolates and marks
        ("a\u200b\ufeff\u00adb", '"a\\u200b\\ufeff\\xadb"'),  # Cf: zero width and soft hyphen
        ("\U000e0041", '"\\U000e0041"'),  # Cf: tag characters
        ("a\u2028b\u2029", '"a\\u2028b\\u2029"'),  # Zl, Zp
        ("\ue000", '"\\ue000"'),  # Co
        ("\u0378", '"\\u0378"'),  # Cn
        ("\ud800", '"\\ud800"'),  # Cs
    ],
)
def test_what_could_hide_or_forge_text_is_escaped(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "näme", "a b", "", "a" * (QUOTED_LIMIT + 1)])
def test_a_name_that_is_odd_is_quoted_in_a_list(text: str) -> None:
    assert plain(text) == quote(text)


def test_a_list_may_have_longer_names() -> None:
    name = "a" * (QUOTED_LIMIT + 1)
    assert plain(name, len(name)) == name
    assert plain(name, QUOTED_LIMIT) == quote(name)


@pytest.mark.parametrize("text", ["a", "policy.yaml", "a" * QUOTED_LIMIT])
def test_a_name_in_a_list_stands_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_an_escaped_character_cannot_be_told_from_outside() -> None:
    assert quote("\\n") != quote("\n")


def test_the_limit_is_two_hundred_characters_and_a_cut_is_visible() -> None:
    assert QUOTED_LIMIT == 200
    assert quote("a" * 200) == '"' + "a" * 200 + '"'
    assert quote("a" * 201) == '"' + "a" * 200 + '"…'


@given(st.text(alphabet=st.characters()))
def test_no_string_reaches_a_second_line_or_hides_a_character(text: str) -> None:
    quoted = quote(text)
    assert {unicodedata.category(char) for char in quoted}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert len(quoted.splitlines()) == 1
    assert quoted.encode("utf-8")
