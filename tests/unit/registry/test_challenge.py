from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.registry.challenge import CHALLENGE_CHARACTERS, Challenge, parse_challenges


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("Basic", [Challenge("basic")]),
        ('Basic realm="a, b"', [Challenge("basic", (("realm", "a, b"),))]),
        ("Bearer realm=token", [Challenge("bearer", (("realm", "token"),))]),
        (
            'BEARER REALM = "https://a/t" ,Service="x"',
            [Challenge("bearer", (("realm", "https://a/t"), ("service", "x")))],
        ),
        (r'Bearer realm="a\"b\\c"', [Challenge("bearer", (("realm", 'a"b\\c'),))]),
        ('Bearer scope="repository:a/b:pull,push"', [Challenge("bearer", (("scope", "repository:a/b:pull,push"),))]),
        ("Negotiate abc==, Basic realm=x", [Challenge("negotiate"), Challenge("basic", (("realm", "x"),))]),
        (
            'Basic realm="x", Bearer realm="y"',
            [Challenge("basic", (("realm", "x"),)), Challenge("bearer", (("realm", "y"),))],
        ),
        ("Bearer realm=", [Challenge("bearer")]),  # by the grammar an opaque value, not an empty parameter
        ("Negotiate, Basic", [Challenge("negotiate"), Challenge("basic")]),
        ("Basic ,Bearer realm=x", [Challenge("basic"), Challenge("bearer", (("realm", "x"),))]),
    ],
)
def test_a_challenge_is_read(value: str, expected: list[Challenge]) -> None:
    assert parse_challenges([value]) == tuple(expected)


def test_several_headers_are_several_challenges() -> None:
    assert [each.scheme for each in parse_challenges(["Basic", "Bearer realm=x"])] == ["basic", "bearer"]


@pytest.mark.parametrize(
    "value",
    [
        'Bearer realm="a',
        'Bearer realm="a" service="b"',
        'Bearer realm="a",realm="b"',
        'Bearer realm="a",REALM="b"',
        "Bearer realm=a=b",
        "Bearer =a",
        'Bearer realm="a\x00b"',
        'Bearer realm="a\r\nb"',
        "(x) realm=a",
        "Bearer realm=ä",
        '"Bearer" realm=a',
        "Bearer " + ",".join(f"p{number}=1" for number in range(17)),
        ",".join(f"Scheme{number}" for number in range(9)),
        "Bearer realm=" + "a" * CHALLENGE_CHARACTERS,
    ],
)
def test_what_is_not_a_challenge_is_malformed(value: str) -> None:
    with pytest.raises(MalformedError):
        parse_challenges([value])


def test_an_absent_parameter_is_none() -> None:
    (challenge,) = parse_challenges(["Bearer realm=x"])
    assert (challenge.parameter("realm"), challenge.parameter("service")) == ("x", None)


@given(st.lists(st.text(alphabet=st.sampled_from('Basic Bearer=,"\\realm \t;:/x0\x00é'), max_size=60), max_size=4))
def test_the_parser_raises_nothing_but_malformed(values: list[str]) -> None:
    try:
        challenges = parse_challenges(values)
    except MalformedError:
        return
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in challenges)


TOKENS = st.text(alphabet="abcXYZ019-_.~+", min_size=1, max_size=12)
QUOTED = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(TOKENS, st.dictionaries(TOKENS.map(str.lower), QUOTED, min_size=1, max_size=5))
def test_what_is_written_by_the_grammar_is_read_back(scheme: str, parameters: dict[str, str]) -> None:
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in parameters.items()}
    text = f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in escaped.items())
    assert parse_challenges([text]) == (Challenge(scheme.lower(), tuple(parameters.items())),)
