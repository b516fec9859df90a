"""``gate policy schema``: the JSON Schema of policy files."""

from __future__ import annotations

import argparse
import json

EXIT_OK = 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one schema."""


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 (there are none)
    """Print the schema, as docs/policy.schema.json has it; return 0."""
    from gate.trust.policyschema import policy_schema  # noqa: PLC0415 (help does not wait for it)

    print(json.dumps(policy_schema(), indent=2))
    return EXIT_OK
