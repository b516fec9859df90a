"""The schema that editors use: it takes every good policy, and refuses what it can know to be wrong."""

from __future__ import annotations

import jsonschema
import pytest

from gate.core.strictjson import Json
from gate.strictyaml import BOOL, INT, NULL, Node, Scalar, Sequence, Table, parse
from gate.trust.policyschema import policy_schema
from tests.policy_schema import FILE, written
from tests.unit.trust.policies import ACCEPTED, REFUSED, Refused

VALIDATOR = jsonschema.Draft202012Validator(policy_schema())


def as_an_editor_reads_it(node: Node) -> Json:
    """Return the YAML 1.2 value, which is what editors hold against a schema."""
    match node:
        case Table(entries):
            return {name: as_an_editor_reads_it(value) for name, value in entries.items()}
        case Sequence(items):
            return [as_an_editor_reads_it(item) for item in items]
        case Scalar(text, tag):
            if tag == NULL:
                return None
            if tag == BOOL and text in ("true", "false"):
                return text == "true"
            return int(text) if tag == INT and text.isdigit() else text


def is_valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(as_an_editor_reads_it(parse(text.encode(), limit=1 << 20, name="policy.yaml"))))


def test_the_published_schema_is_what_make_docs_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == written()


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema())


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_good_policy_is_valid(name: str) -> None:
    assert is_valid(ACCEPTED[name])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{REFUSED.index(case)} {case.messages[0][:80]}")
def test_a_wrong_policy_is_invalid_where_a_schema_can_know(case: Refused) -> None:
    assert is_valid(case.text) is not case.by_schema
