"""JSON with one meaning per document (RFC 8259, and RFC 7493 for what it leaves open).

Refused: bytes that are not UTF-8, duplicate names, NaN and Infinity, numbers out of range, lone surrogates, and
anything larger or deeper than its limit. Two parsers cannot disagree about what is left.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn, TypeAlias

from gate.core.errors import MalformedError
from gate.core.quote import quote

# Read-only views: nothing downstream may edit a parsed document.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Object: TypeAlias = Mapping[str, Json]

# Asked in this order: what the decoder makes is recognised without the slow question to an abstract class.
_OBJECTS = (dict, Mapping)
_ARRAYS = (list, Sequence)

VALUES_LIMIT = 200_000  # values of one document, as many as commas and brackets; an object of 3 MiB has about 100,000
DEPTH_LIMIT = 64  # nested arrays and objects; the formats read here need fewer than 20
INTEGER_DIGITS_LIMIT = 40  # digits; no field of any format read here needs more than a 64-bit integer


def loads(data: bytes, *, limit: int, depth: int = DEPTH_LIMIT, values: int = VALUES_LIMIT) -> Json:
    """Return the document in ``data`` (UTF-8), or raise MalformedError.

    It has at most ``limit`` bytes, ``depth`` levels and ``values`` values.
    """
    if len(data) > limit:
        raise MalformedError(f"the document has {len(data)} bytes, more than {limit}")
    # In memory a value takes up to sixty times its place in the text: bytes alone bound too little.
    if count_values(data) > values:
        raise MalformedError(f"the document has more than {values} values")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("the document is not UTF-8") from error
    try:
        value: Json = _DECODER.decode(text)
    except RecursionError as error:
        raise MalformedError(f"the document is nested deeper than {depth} levels") from error
    except ValueError as error:
        raise MalformedError("the document is not valid JSON") from error
    # UTF-8 has no surrogates, so only an escape can bring one in: \ud800 to \udfff, with digits of either case.
    _check(value, depth, surrogates="\\" in text and ("\\ud" in text or "\\uD" in text))
    return value


def count_values(data: bytes) -> int:
    """Return how many values the document has at most, unread: each follows a comma or a bracket that opens."""
    return sum(map(data.count, (b",", b"[", b"{")))


def split(data: bytes, *, limit: int) -> Iterator[bytes]:
    """Yield the documents of a stream (one after the other, white space between them), each as its own bytes.

    Only the boundaries are found here: each document is still to be read by loads(). MalformedError where the stream,
    UTF-8 of at most ``limit`` bytes, holds something else.
    """
    if len(data) > limit:
        raise MalformedError(f"the stream has {len(data)} bytes, more than {limit}")
    try:
        text = data.decode("utf-8")
        position = _skip_space(text, 0)
        while position < len(text):
            start, (_, position) = position, json.JSONDecoder().raw_decode(text, position)
            yield text[start:position].encode("utf-8")
            position = _skip_space(text, position)
    except (ValueError, RecursionError) as error:
        raise MalformedError("the stream is not a sequence of JSON documents in UTF-8") from error


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":  # RFC 8259 section 2
        position += 1
    return position


def loads_object(data: bytes, *, limit: int, depth: int = DEPTH_LIMIT, values: int = VALUES_LIMIT) -> Object:
    """Return the object in ``data``, or raise MalformedError; limits as in loads()."""
    return expect_object(loads(data, limit=limit, depth=depth, values=values), "the document")


def expect_object(value: Json, what: str) -> Object:
    """Return ``value`` if it is an object, else raise MalformedError that names ``what``."""
    if not isinstance(value, _OBJECTS):
        raise MalformedError(f"{what} is not an object")
    return value


def expect_closed(value: Json, what: str, known: frozenset[str]) -> Object:
    """Return ``value`` if it is an object with none but ``known`` members, or raise MalformedError."""
    members = expect_object(value, what)
    unknown = sorted(set(members) - known)
    if unknown:
        raise MalformedError(f"{what} has the unknown member {quote(unknown[0])}")
    return members


def expect_array(value: Json, what: str) -> Sequence[Json]:
    """Return ``value`` if it is an array, else raise MalformedError that names ``what``."""
    if isinstance(value, str) or not isinstance(value, _ARRAYS):
        raise MalformedError(f"{what} is not an array")
    return value


def expect_string(value: Json, what: str) -> str:
    """Return ``value`` if it is a string, else raise MalformedError that names ``what``."""
    if not isinstance(value, str):
        raise MalformedError(f"{what} is not a string")
    return value


def expect_integer(value: Json, what: str) -> int:
    """Return ``value`` if it is an integer (true and false are not), else raise MalformedError that names ``what``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedError(f"{what} is not an integer")
    return value


def expect_base64(value: Json, what: str) -> bytes:
    """Return the bytes in ``value``, at least one, or raise MalformedError that names ``what``.

    Standard base64 with its padding and nothing else (RFC 4648 section 4): two readers see the same bytes.
    """
    data = decode_base64(expect_string(value, what), what)
    if not data:
        raise MalformedError(f"{what} is empty")
    return data


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes in ``text``, or raise MalformedError that names ``what``; as expect_base64(), empty or not."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"{what} is not base64") from error
    # RFC 4648 section 3.5: the bits that pad the last character are zero, so the same bytes have one spelling.
    if base64.b64encode(data).decode() != text:
        raise MalformedError(f"{what} is not base64 as it is written canonically")
    return data


def _unique(pairs: list[tuple[str, Json]]) -> Object:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedError("the document names a member of an object twice")
    return members


def _no_constant(_: str) -> NoReturn:
    raise MalformedError("the document contains NaN or Infinity")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise MalformedError("the document contains a number that is out of range")
    return value


def _bounded_integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS_LIMIT:
        raise MalformedError("the document contains a number that is out of range")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded_integer
)


def _check(document: Json, depth: int, *, surrogates: bool) -> None:
    """Raise MalformedError where a value is nested too deep or, if an escape occurs at all, holds a lone surrogate.

    The decoder makes dict and list themselves, so their types are compared: this looks at every value of a document.
    """
    level: list[Json] = [document]
    for _ in range(depth + 1):
        below: list[Json] = []
        nested = False
        for value in level:
            if type(value) is dict:
                nested = True
                below += value.values()
                if surrogates:
                    below += value
            elif type(value) is list:
                nested = True
                below += value
            elif surrogates and type(value) is str:
                _check_text(value)
        if not nested:
            return
        level = below
    raise MalformedError(f"the document is nested deeper than {depth} levels")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("the document contains a lone surrogate") from error
