"""docs/policy.schema.json, which ``make docs`` writes."""

from __future__ import annotations

import json
from pathlib import Path

from gate.trust.policyschema import policy_schema

FILE = Path(__file__).parents[1] / "docs" / "policy.schema.json"


def written() -> str:
    """Return the text of the file."""
    return json.dumps(policy_schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
