"""``gate policy test``: policies held against expected answers, without a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gate.cli import options
from gate.cli.policy.cases import Asked, Case, Expected, find_cases
from gate.cli.policy.junit import Result, junit
from gate.core.errors import ConfigError, GateError
from gate.core.policy import Policy
from gate.core.quote import plain, quote
from gate.core.reasons import UNAVAILABLE, Reason
from gate.core.strictjson import Json
from gate.core.subjects import Image

if TYPE_CHECKING:  # help does not wait for a registry client
    from gate.core.deadline import Deadline
    from gate.core.oci import Reference
    from gate.registry.layout import Layout
    from gate.service import Gate
    from gate.settings import Settings
    from gate.trust.mounts import Mount

EXIT_OK, EXIT_FINDINGS = 0, 1

# The policy decided nothing: a typing error in a review and a registry that is down are refused by every policy. A case
# that is about just that names the reason.
UNDECIDED = frozenset(map(str, UNAVAILABLE | {Reason.MALFORMED, Reason.FAILED_OPEN}))

Layouts: TypeAlias = "Mapping[Reference, Layout]"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("directory", metavar="DIR", help="cases: every case.yaml and NAME.case.yaml in it and below")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML as well")
    options.add_registry_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print how each case went; return 0 if every answer is the expected one, 1 if any is not.

    Nothing is asked before all cases, and the policies and layouts that they name, could be read.
    """
    settings = options.settings(arguments)
    cases = find_cases(Path(arguments.directory))
    token = options.token(arguments)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)

    prepared = _prepare(cases, settings)
    hosts = frozenset(case.question.image.registry for case in cases if isinstance(case.question, Asked))
    line = compose.CommandLine(hosts, plain_http=arguments.plain_http, token=token)
    results = []
    for each in prepared:
        with compose.open_rehearsal(settings, line, each.layouts, each.case.now) as gate:
            results.append(_hold(each, gate, compose.deadline(arguments.timeout)))
        print(_line(results[-1]), flush=True)
    failed = sum(result.failure is not None for result in results)
    print(f"{len(results)} cases, {failed} failed", file=sys.stderr)
    if arguments.junit is not None:
        _write(Path(arguments.junit), junit(results))
    return EXIT_FINDINGS if failed else EXIT_OK


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A case with everything that it names."""

    case: Case
    policy: Policy
    layouts: Layouts


def _prepare(cases: Sequence[Case], settings: Settings) -> tuple[_Prepared, ...]:
    """Return the cases with what they name, or raise ConfigError that names each case in which something is wrong."""
    from gate import compose  # noqa: PLC0415 (help does not wait for it)
    from gate.registry.layout import Layout  # noqa: PLC0415 (the same)

    @cache
    def policy(path: Path, mounts: tuple[Mount, ...]) -> Policy:
        return compose.load_policy_offline(replace(settings, policy=path), mounts)

    layout = cache(Layout.open)
    prepared, problems = [], []
    for case in cases:
        try:
            layouts = {repository: layout(directory) for repository, directory in case.layouts}
            prepared.append(_Prepared(case, policy(case.policy, case.mounts), layouts))
        except GateError as error:
            problems += [f"{plain(case.name)}: {line}" for line in error.message.splitlines()]
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(prepared)


@dataclass(frozen=True, slots=True)
class _Answer:
    allowed: bool
    reason: str
    message: str


def _hold(prepared: _Prepared, gate: Gate, deadline: Deadline) -> Result:
    """Return how the case goes: its question asked, and the answer compared."""
    started = deadline.clock()
    match prepared.case.question:
        case Asked(image, context):
            decision = gate.decide(prepared.policy, Image(image), context, deadline)
            verdict = decision.verdict
            answer = _Answer(decision.admits, str(verdict.reason), verdict.message)
        case review:
            answer = _review(review, prepared.policy, gate, deadline)
    failure = _difference(prepared.case.expected, answer)
    return Result(prepared.case.name, deadline.clock() - started, failure)


def _review(review: bytes, policy: Policy, gate: Gate, deadline: Deadline) -> _Answer:
    from gate.fronts.review import Reviewer  # noqa: PLC0415 (help does not wait for it)

    records: list[dict[str, Json]] = []
    Reviewer(gate, lambda: policy, records.append).answer(review, deadline)
    (record,) = records
    return _Answer(record["allowed"] is True, str(record["reason"]), str(record["message"]))


def _difference(expected: Expected, answer: _Answer) -> str | None:
    """Return what is not as expected, or None."""
    same_reason = answer.reason not in UNDECIDED if expected.reason is None else str(expected.reason) == answer.reason
    if expected.allowed is answer.allowed and same_reason and expected.message in answer.message:
        return None
    wanted = _decision(allowed=expected.allowed)
    wanted += f" {expected.reason}" if expected.reason is not None else ""
    wanted += f" with {quote(expected.message)}" if expected.message else ""
    told = f"expected {wanted}, got {_decision(allowed=answer.allowed)} {answer.reason}: {answer.message}"
    if expected.reason is None and answer.reason in UNDECIDED:
        told += f"; the policy decided nothing: where {answer.reason} is what is tested, expect that reason"
    return told


def _decision(*, allowed: bool) -> str:
    return "allow" if allowed else "deny"


def _line(result: Result) -> str:
    name = plain(result.name)
    return f"ok    {name}" if result.failure is None else f"FAIL  {name}: {result.failure}"


def _write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError as error:
        raise ConfigError(f"the results cannot be written to {quote(str(path))}: {error.strerror}") from error
