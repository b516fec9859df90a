"""YAML with one meaning: what is refused, and that every mistake is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import ConfigError
from gate.strictyaml import DEPTH_LIMIT, Fields, Node, Problems, Table, parse

LIMIT = 10_000


def read(text: str) -> Node:
    return parse(text.encode(), limit=LIMIT, name="f.yaml")


def fields(text: str) -> tuple[Fields, Problems]:
    problems = Problems("f.yaml")
    return Fields.of(read(text), "", 1, problems), problems


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


def test_every_mistake_is_told_at_once_with_its_line_and_path() -> None:
    document, problems = fields("a: [x]\nb: maybe\nc: -1\nd: {e: 1}\nz: 1\n")
    document.text("a")
    document.truth("b", default=False)
    document.integer("c", 1)
    document.section("d").finish()
    document.text("missing")
    document.finish()
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    assert caught.value.message.splitlines() == [
        "f.yaml:1: a: found a list, expected a string that is not empty",
        'f.yaml:2: b: found "maybe", expected true or false',
        'f.yaml:3: c: found "-1", expected a whole number',
        "f.yaml:4: d.e: is not a field that gate knows",
        "f.yaml:1: missing: is missing",
        "f.yaml:5: z: is not a field that gate knows",
    ]


@pytest.mark.parametrize("text", ["b: yes", "b: on", 'b: "true"', "b: True", "b: 1", "b: ~"])
def test_only_true_and_false_are_booleans(text: str) -> None:
    document, problems = fields(text)
    document.truth("b", default=True)
    assert problems.found


@pytest.mark.parametrize("text", ["n: 0x10", "n: 1_000", 'n: "1"', "n: 1.0", "n: [1]"])
def test_only_plain_decimal_digits_are_a_number(text: str) -> None:
    document, problems = fields(text)
    document.integer("n", 7)
    assert problems.found


def test_a_list_that_is_given_is_not_empty() -> None:
    document, problems = fields("a: []")
    assert document.texts("a") == ()
    assert problems.found == ["f.yaml:1: a: found a list, expected a list that is not empty"]
