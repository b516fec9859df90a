"""JSON with one meaning per document."""

from __future__ import annotations

import base64
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core import strictjson
from gate.core.errors import MalformedError

LIMIT = 10_000

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    scalars | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=20,
)
nearly_json = st.text(alphabet='{}[]:,"\\ue09.-+E tfnaNI\ud800\u00e9', max_size=40).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


def read(data: bytes) -> strictjson.Json:
    return strictjson.loads(data, limit=LIMIT)


@given(documents)
def test_a_document_that_is_written_is_read_as_it_was(document: strictjson.Json) -> None:
    assert strictjson.loads(json.dumps(document).encode(), limit=10**6) == document


@given(st.binary(max_size=200) | nearly_json)
def test_no_bytes_raise_anything_but_malformed_error(data: bytes) -> None:
    for read_one in (read, lambda data: strictjson.loads_object(data, limit=LIMIT)):
        try:
            read_one(data)
        except MalformedError as error:
            assert error.message.isprintable()


@given(st.binary(max_size=200) | nearly_json)
def test_a_stream_is_cut_or_refused_and_nothing_is_lost(data: bytes) -> None:
    try:
        parts = list(strictjson.split(data, limit=LIMIT))
    except MalformedError:
        return
    assert b"".join(b"".join(parts).split()) == b"".join(data.split())


@given(st.binary(max_size=12))
def test_bytes_have_one_spelling_in_base64(data: bytes) -> None:
    spelling = base64.b64encode(data).decode()
    assert strictjson.decode_base64(spelling, "it") == data
    if spelling.endswith("="):
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = len(spelling.rstrip("=")) - 1
        other = spelling[:last] + digits[digits.index(spelling[last]) + 1] + spelling[last + 1 :]
        with pytest.raises(MalformedError, match=r"^it is not base64 as it is written canonically$"):
            strictjson.decode_base64(other, "it")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the document is not valid JSON"),
        (b"{", "the document is not valid JSON"),
        (b"{} {}", "the document is not valid JSON"),
        (b"{}\x00", "the document is not valid JSON"),
        (b"{'a': 1}", "the document is not valid JSON"),
        (b"[1,]", "the document is not valid JSON"),
        (b"01", "the document is not valid JSON"),
        (b'"\x01"', "the document is not valid JSON"),
        (b"\xef\xbb\xbf{}", "the document is not valid JSON"),
        ("{}".encode("utf-16"), "the document is not UTF-8"),
        (b'"\xff"', "the document is not UTF-8"),
        (b'"\xc0\xaf"', "the document is not UTF-8"),  # overlong
        (b'"\xed\xa0\x80"', "the document is not UTF-8"),  # a surrogate, encoded
        (b'"\\ud800"', "the document contains a lone surrogate"),
        (b'{"\\udc00": 1}', "the document contains a lone surrogate"),
        (b'{"a": "\\uDBFF"}', "the document contains a lone surrogate"),
        (b'[{"a": ["\\ud800\\u0041"]}]', "the document contains a lone surrogate"),
        (b"NaN", "the document contains NaN or Infinity"),
        (b"[Infinity]", "the document contains NaN or Infinity"),
        (b'{"a": -Infinity}', "the document contains NaN or Infinity"),
        (b"1e400", "the document contains a number that is out of range"),
        (b"-1e400", "the document contains a number that is out of range"),
        (b"1" * 41, "the document contains a number that is out of range"),
        (b'{"a": 1, "a": 1}', "the document names a member of an object twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "the document names a member of an object twice"),
    ],
)
def test_a_document_that_two_parsers_could_read_differently_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert caught.value.message == message


def test_names_that_differ_only_in_case_are_different_names() -> None:
    assert read(b'{"a": 1, "A": 2}') == {"a": 1, "A": 2}


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_the_longest_integer_is_read_exactly() -> None:
    assert read(b"9" * 40) == int("9" * 40)


def test_the_largest_document_is_read_and_a_larger_one_refused_before_it_is_parsed() -> None:
    assert strictjson.loads(b"[1]", limit=3) == [1]
    with pytest.raises(MalformedError, match="has 4 bytes, more than 3"):
        strictjson.loads(b"\xff\xff\xff\xff", limit=3)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_the_deepest_document_is_read_and_a_deeper_one_refused(opening: bytes) -> None:
    per_opening = opening.count(b"[") + opening.count(b"{")

    def nested(times: int) -> bytes:
        return opening * times + b"1" + b"".join({91: b"]", 123: b"}"}.get(b, b"") for b in reversed(opening * times))

    assert strictjson.DEPTH_LIMIT == 64
    read(nested(64 // per_opening))
    with pytest.raises(MalformedError, match="nested deeper than 64 levels"):
        read(nested(64 // per_opening + 1))


def test_a_smaller_depth_is_kept_too_and_empty_containers_count() -> None:
    assert strictjson.loads(b"[[]]", limit=LIMIT, depth=2) == [[]]
    with pytest.raises(MalformedError, match="deeper than 2 levels"):
        strictjson.loads(b"[[[]]]", limit=LIMIT, depth=2)
    assert strictjson.loads_object(b'{"a":[]}', limit=LIMIT, depth=2) == {"a": []}
    with pytest.raises(MalformedError, match="deeper than 2 levels"):
        strictjson.loads_object(b'{"a":[[]]}', limit=LIMIT, depth=2)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_million_levels_are_refused_without_a_recursion_error(opening: bytes) -> None:
    with pytest.raises(MalformedError):
        strictjson.loads(opening * 1_000_000, limit=10**7)


def test_only_an_object_is_an_object() -> None:
    assert strictjson.loads_object(b'{"a": 1}', limit=LIMIT) == {"a": 1}
    for data in (b"[]", b"1", b'"{}"', b"null", b"true"):
        with pytest.raises(MalformedError, match="the document is not an object"):
            strictjson.loads_object(data, limit=LIMIT)


WRONG: dict[str, list[strictjson.Json]] = {
    "object": [None, [], "a", 1, 1.0, True],
    "array": [None, {}, "a", 1, 1.0, True],
    "string": [None, [], {}, 1, 1.0, True],
    "integer": [None, [], {}, "1", 1.0, math.pi, True, False],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values])
def test_a_value_of_another_type_is_refused_by_name(kind: str, value: strictjson.Json) -> None:
    expect = {
        "object": strictjson.expect_object,
        "array": strictjson.expect_array,
        "string": strictjson.expect_string,
        "integer": strictjson.expect_integer,
    }[kind]
    with pytest.raises(MalformedError, match=f"^the field is not an? {kind}$"):
        expect(value, "the field")


def test_a_value_of_the_right_type_is_returned() -> None:
    assert strictjson.expect_object({"a": 1}, "x") == {"a": 1}
    assert strictjson.expect_array([1], "x") == [1]
    assert strictjson.expect_string("", "x") == ""
    assert strictjson.expect_integer(0, "x") == 0


def test_a_closed_object_has_known_members_only() -> None:
    assert strictjson.expect_closed({"a": 1}, "x", frozenset({"a", "b"})) == {"a": 1}
    with pytest.raises(MalformedError, match=r'^x has the unknown member "B"$'):
        strictjson.expect_closed({"a": 1, "c": 2, "B": 3}, "x", frozenset({"a"}))
    with pytest.raises(MalformedError, match=r"^x is not an object$"):
        strictjson.expect_closed([], "x", frozenset())


def test_a_stream_is_cut_between_its_documents() -> None:
    assert list(strictjson.split(b' {"a": 1}\n{"a":\t2}[3] 4 ', limit=LIMIT)) == [
        b'{"a": 1}',
        b'{"a":\t2}',
        b"[3]",
        b"4",
    ]
    assert list(strictjson.split(b" \n", limit=LIMIT)) == []


@pytest.mark.parametrize("data", [b"{} x", b"{}X", b"{}\xc2\xa0{}", b"\xff", b"{}\x0c{}", b"[" * 100_000])
def test_a_stream_that_holds_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="the stream is not a sequence of JSON documents"):
        list(strictjson.split(data, limit=10**6))


def test_a_stream_that_is_too_large_is_refused() -> None:
    assert list(strictjson.split(b"1 2", limit=3)) == [b"1", b"2"]
    with pytest.raises(MalformedError, match="the stream has 3 bytes, more than 2"):
        list(strictjson.split(b"1 2", limit=2))


def test_a_document_of_too_many_values_is_refused_before_it_takes_memory() -> None:
    most = b"[" + b"0," * (strictjson.VALUES_LIMIT - 1) + b"0]"
    assert strictjson.loads(most, limit=len(most))
    more = b"[" + b"0," * strictjson.VALUES_LIMIT + b"0]"
    with pytest.raises(MalformedError, match="more than 200000 values"):
        strictjson.loads(more, limit=len(more))


@pytest.mark.parametrize("empty", [b"[]", b"{}"])
def test_an_empty_value_counts_as_often_as_its_brackets_and_commas(empty: bytes) -> None:
    half = strictjson.VALUES_LIMIT // 2
    most, more = (b"[" + (empty + b",") * (count - 1) + empty + b"]" for count in (half, half + 1))
    assert strictjson.loads(most, limit=len(most))
    with pytest.raises(MalformedError, match="more than 200000 values"):
        strictjson.loads(more, limit=len(more))
