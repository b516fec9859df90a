"""YAML with one meaning: what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import ConfigError
from gate.strictyaml import DEPTH_LIMIT, Node, Table, parse

LIMIT = 10_000


def read(text: str) -> Node:
    return parse(text.encode(), limit=LIMIT, name="f.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: is empty"),
        ("# nothing\n", "f.yaml: is empty"),
        ("a: &x 1\nb: 2\n", "f.yaml:1: found an anchor or alias; write the value out"),
        ("a: 1\nb: *x\n", "f.yaml:2: found an anchor or alias; write the value out"),
        ("a: !!python/object:os.system x\n", "f.yaml:1: found a tag; write a plain value"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: found a second document; the file holds one"),
        ("a: 1\nb: 2\na: 3\n", 'f.yaml:3: found the key "a" twice'),
        ("1: a\n", "f.yaml:1: found a key that is not a string"),
        ("<<: {a: 1}\n", "f.yaml:1: found a key that is not a string"),
        ("[a]: b\n", "f.yaml:1: found a key that is not a string"),
        ("a: [1\n", "f.yaml:2: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: \x01\n", "f.yaml: is not YAML: a character that YAML does not allow"),
    ],
)
def test_a_document_that_could_mean_two_things_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message == message


def test_a_document_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ConfigError, match="more than 10000"):
        read("a" * (LIMIT + 1))


def test_a_document_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not UTF-8"):
        parse(b"a: \xff", limit=LIMIT, name="f.yaml")


def test_the_deepest_document_is_read_and_a_deeper_one_refused() -> None:
    assert isinstance(read("{a: " * DEPTH_LIMIT + "1" + "}" * DEPTH_LIMIT), Table)
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        read("{a: " * (DEPTH_LIMIT + 1) + "1" + "}" * (DEPTH_LIMIT + 1))


@given(st.text(max_size=200) | st.text(alphabet="{}[]:,-&*!|>'\"%@ \n\tab01", max_size=60))
def test_no_text_raises_anything_but_config_error(text: str) -> None:
    try:
        read(text)
    except ConfigError as error:
        assert error.message.startswith("f.yaml")
