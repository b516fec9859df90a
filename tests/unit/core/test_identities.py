"""Regular expressions of a policy: which are read, and what is said of the others."""

from __future__ import annotations

import pytest

from gate.core.errors import MalformedError
from gate.core.identities import Pattern


def refused(source: str) -> str:
    with pytest.raises(MalformedError) as caught:
        Pattern.parse(source)
    return caught.value.message


def test_an_expression_of_2048_characters_is_the_longest() -> None:
    assert Pattern.parse("a" * 2048).matches("a" * 2048)
    assert refused("a" * 2049) == "a regular expression has more than 2048 characters"


def test_an_expression_that_would_need_more_than_a_mebibyte_is_refused() -> None:
    # A hundred letters of any script fit into the 8 MiB that RE2 takes where nobody says less.
    assert Pattern.parse(r"\p{L}{10}").matches("\u00e9" * 10)
    assert refused(r"\p{L}{100}").endswith(': "pattern too large - compile failed"')


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("a(b", "missing ): a(b"),
        ("\u00e9(", "missing ): \u00e9("),
        ("(?=a)", "invalid perl operator: (?="),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_re2_and_nowhere_else(
    source: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(source) == f'"{source}" is not a regular expression (RE2): "{why}"'
    assert capfd.readouterr() == ("", "")  # the library would write to stderr, what somebody else has made up included
