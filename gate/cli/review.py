"""``gate review``: answers recorded AdmissionReviews as the webhook would."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path

from gate.cli import options
from gate.core import limits, strictjson
from gate.core.errors import ConfigError, MalformedError
from gate.core.policy import Policy
from gate.files import read_bounded
from gate.fronts import configsync
from gate.fronts.admission import ReviewError, parse_review

STREAM_BYTES = 256 * limits.MIB  # a day of a busy cluster's recorded reviews


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", help="one AdmissionReview or a stream of them, or - for stdin")
    parser.add_argument("--offline", action="store_true", help="say what would be verified, and contact nothing")
    options.add_engine_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each review: the response, or with --offline what would be done; return 0 if all were read."""
    data = _read(arguments.file)
    settings = options.settings(arguments)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)

    policy = compose.load_policy_offline(settings) if arguments.offline else compose.load_policy(settings)
    try:
        reviews = list(strictjson.split(data, limit=STREAM_BYTES))
    except MalformedError as error:
        raise ConfigError(f"{arguments.file}: {error.message}") from error
    if not reviews:
        raise ConfigError(f"{arguments.file}: holds no review")
    if arguments.offline:
        return max(_offline(review, policy, compose.now()) for review in reviews)
    named = compose.CommandLine(frozenset(), plain_http=arguments.plain_http, token=options.token(arguments))
    with compose.open_gate(settings, named) as gate:
        reviewer = compose.reviewer(gate, lambda: policy)
        code = 0
        for review in reviews:
            reply = reviewer.answer(review, compose.deadline(arguments.timeout))
            readable = reply.status == 200  # noqa: PLR2004 (HTTP OK)
            print(reply.body.decode().rstrip("\n"), file=sys.stdout if readable else sys.stderr, flush=True)
            code = max(code, 0 if readable else 2)
    return code


def _read(name: str) -> bytes:
    if name != "-":
        return read_bounded(Path(name), STREAM_BYTES, "the review file")
    data = sys.stdin.buffer.read(STREAM_BYTES + 1)
    if len(data) > STREAM_BYTES:
        raise ConfigError(f"standard input has more than {STREAM_BYTES} bytes")
    return data


def _offline(body: bytes, policy: Policy, now: datetime) -> int:
    try:
        review = parse_review(body)
    except ReviewError as error:
        if error.uid is None:
            print(f"gate review: {error.message}", file=sys.stderr)
            return 2
        print(json.dumps({"uid": error.uid, "decision": "deny", "reason": str(error.reason), "subjects": []}))
        return 0
    print(json.dumps(configsync.offline(review, configsync.examine(review, policy, now))))
    return 0
