"""Fields of a YAML file: every mistake is told with its line, what was found and what was expected."""

from __future__ import annotations

import pytest

from gate.core.errors import ConfigError, MalformedError
from gate.fields import PROBLEMS_LIMIT, Fields, Problems
from gate.strictyaml import parse


def fields(text: str) -> tuple[Fields, Problems]:
    problems = Problems("f.yaml")
    return Fields.of(parse(text.encode(), limit=10_000, name="f.yaml"), "", 1, problems), problems


def shout(text: str) -> str:
    if text == "quiet":
        raise MalformedError("it is not loud")
    return text.upper()


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    document, problems = fields("a: [x]\nb: maybe\nc: -1\nd: {e: 1}\nz: 1\n")
    section = document.section("d")
    section.text("f", "")
    section.finish()
    document.integer("c", 1, most=3)
    document.truth("b", default=False)
    document.text("a")
    document.text("missing")
    document.finish()
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    assert caught.value.message.splitlines() == [
        "f.yaml:1: a: found a list, expected a string that is not empty",
        "f.yaml:1: missing: is missing, expected a string that is not empty",
        'f.yaml:2: b: found "maybe", expected true or false without quotes',
        'f.yaml:3: c: found "-1", expected a whole number from 1 to 3 without quotes',
        "f.yaml:4: d.e: is not a field that gate knows here, expected f",
        "f.yaml:5: z: is not a field that gate knows here, expected one of a, b, c, d, missing",
    ]


def test_a_field_that_nobody_knows_writes_nothing_to_a_terminal_but_its_name() -> None:
    document, problems = fields('"\\e[2Ja\\nb\\u202e": 1\n')
    document.finish()
    (problem,) = problems.found
    assert problem.startswith('f.yaml:1: "\\x1b[2Ja\\nb\\u202e": is not a field that gate knows here')


def test_of_very_many_mistakes_the_first_are_told_and_the_rest_counted() -> None:
    document, problems = fields("".join(f"x{number}: 1\n" for number in range(PROBLEMS_LIMIT + 3)))
    document.finish()
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    lines = caught.value.message.splitlines()
    assert (len(lines), lines[-1]) == (PROBLEMS_LIMIT + 1, "f.yaml: and 3 more")


def test_of_what_is_missing_or_wrong_as_a_whole_the_parts_are_not_told_again() -> None:
    document, problems = fields("wrong: x\n")
    for name in ("wrong", "missing"):
        document.section(name, required=True).text("part")
    assert problems.found == [
        'f.yaml:1: wrong: found "x", expected a mapping',
        "f.yaml:1: missing: is missing, expected a mapping",
    ]


@pytest.mark.parametrize("text", ["b: yes", "b: on", 'b: "true"', "b: True", "b: 1", "b: ~"])
def test_only_true_and_false_are_booleans(text: str) -> None:
    document, problems = fields(text)
    document.truth("b", default=True)
    assert problems.found


@pytest.mark.parametrize(
    "text", ["n: 0x10", "n: 1_000", 'n: "1"', "n: 1.0", "n: [1]", "n: 010", "n: 0", "n: 10", "n: 99999999999"]
)
def test_only_plain_decimal_digits_in_range_are_a_number(text: str) -> None:
    document, problems = fields(text)
    assert document.integer("n", 7, most=9) == 7
    assert problems.found


@pytest.mark.parametrize("number", [1, 9])
def test_both_ends_of_a_range_belong_to_it(number: int) -> None:
    document, problems = fields(f"n: {number}")
    assert document.integer("n", 7, most=9) == number
    assert not problems.found


def test_a_list_that_is_given_is_not_empty() -> None:
    document, problems = fields("a: []")
    assert document.texts("a") == ()
    assert problems.found == ["f.yaml:1: a: found an empty list, expected a list that is not empty"]


def test_a_list_of_mappings_may_be_empty_where_that_is_said() -> None:
    document, problems = fields("a: []\nb: []\n")
    assert [*document.sections("a", empty=True), *document.sections("b")] == []
    assert problems.found == ["f.yaml:2: b: found an empty list, expected a list that is not empty"]


def test_of_a_list_each_item_is_read_and_named_by_its_number() -> None:
    document, problems = fields("a:\n  - one\n  - quiet\n  - one\n  - ''\n")
    assert document.parsed_list("a", shout) == ("ONE",)
    assert problems.found == [
        "f.yaml:3: a[1]: it is not loud",
        'f.yaml:4: a[2]: found "one" a second time, expected it once',
        'f.yaml:5: a[3]: found "", expected a string that is not empty',
    ]


@pytest.mark.parametrize(("text", "given"), [("a: 1", "a"), ("b: 1", "b"), ("a: 1\nb: 2", None), ("c: 1", None)])
def test_of_two_fields_exactly_one_is_given(text: str, given: str | None) -> None:
    document, problems = fields(text)
    assert document.one_of("a", "b") == given
    assert bool(problems.found) is (given is None)


def test_of_two_fields_none_may_be_given_where_that_is_said() -> None:
    document, problems = fields("c: 1")
    assert document.one_of("a", "b", required=False) is None
    assert not problems.found


@pytest.mark.parametrize(
    ("text", "remark"),
    [("", ""), ("r: ''", ""), ("r:", ""), ("r: ~", ""), ("r: '  '", ""), ("r: ' x '", "x"), ("r: 7", "7")],
)
def test_a_remark_may_be_missing(text: str, remark: str) -> None:
    document, problems = fields(f"a: 1\n{text}\n")
    assert document.remark("r") == remark
    assert not problems.found


def test_a_plain_time_is_read_as_it_is_written() -> None:
    document, _ = fields("plain: 2026-12-01T00:00:00Z\nquoted: '2026-12-01T00:00:00Z'\n")
    assert document.text("plain") == document.text("quoted") == "2026-12-01T00:00:00Z"
