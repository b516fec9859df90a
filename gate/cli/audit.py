"""``gate audit``: what syncs in a cluster now, and whether a policy would have let it.

In gate's own pod (``kubectl exec``, or the CronJob of manifests/components/audit) it asks with the pod's ServiceAccount
and the webhook's credentials and policy. Elsewhere it asks with a kubeconfig and your own logins, and the policy is the
one you name: an installed one, or a candidate.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TextIO

from gate.cli import options
from gate.core.quote import QUOTED_LIMIT, plain
from gate.core.report import verdict_name
from gate.core.verdict import Decision
from gate.fronts.audit import Question, Row, Synced, config_sync_asks, counts, describe_row, examine, severity

if TYPE_CHECKING:  # help does not wait for a Kubernetes client
    from gate.kube.syncs import ConfigSync

EXIT_OK, EXIT_FINDINGS, EXIT_UNKNOWN = 0, 1, 2
LISTING_SECONDS = 60.0  # the whole list; a thousand objects take about one
_DIGEST_CHARACTERS = 72  # @sha256: and 64 hex digits
DECISIONS_AT_ONCE = 8  # each asks a registry one thing after the other


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_policy_options(parser)
    options.add_access_options(parser)
    parser.add_argument("--kubeconfig", metavar="FILE", help="the cluster; default: in a pod its own, else KUBECONFIG")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig, in place of its current one")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print what syncs; return 1 if anything syncs that should not or unasked, else 2 if anything could not be told.

    Nothing is printed unless every object could be listed: a GateError says why not.
    """
    settings = options.settings(arguments)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)
    from gate.kube.syncs import KINDS, config_sync, list_syncs  # noqa: PLC0415 (the same)

    policy = compose.load_policy(settings)
    cluster = compose.Kubeconfig(arguments.kubeconfig, arguments.context)
    with compose.open_audit(settings, options.token(arguments), cluster) as audit:
        print(f"gate audit: asking {audit.api.server} as {audit.identity}", file=sys.stderr, flush=True)
        until = compose.deadline(LISTING_SECONDS)
        listed = ((kind, sync) for kind in KINDS for sync in list_syncs(audit.api, kind, until))
        now = compose.now()
        found = [examine(kind, sync, policy, now) for kind, sync in listed]
        manager = config_sync(audit.api, until)

        def decide(question: Question) -> Decision:
            return audit.gate.decide(policy, question.subject, question.context, compose.deadline(arguments.timeout))

        rows = sorted(decide_all(found, decide, partial(show_progress, sys.stderr)), key=severity)
    print(as_text(rows, manager) if arguments.output == "text" else as_json(rows, manager))
    return exit_code(rows, manager)


def decide_all(
    found: Sequence[Synced], decide: Callable[[Question], Decision], progress: Callable[[int, int], None]
) -> list[Row]:
    """Return each object with its decision, each question asked once; ``progress`` is told how many of how many are."""
    questions = list(dict.fromkeys(each.question for each in found if isinstance(each.question, Question)))
    decisions: dict[Question, Decision] = {}
    with ThreadPoolExecutor(DECISIONS_AT_ONCE, thread_name_prefix="audit") as pool:
        for question, decision in zip(questions, pool.map(decide, questions), strict=True):
            decisions[question] = decision
            progress(len(decisions), len(questions))
    return [
        Row.of(each, each.question if isinstance(each.question, Decision) else decisions[each.question])
        for each in found
    ]


def show_progress(stream: TextIO, done: int, total: int) -> None:
    """Tell a terminal how far it is, on one line that goes away; anything else is told nothing."""
    if stream.isatty():
        end = "\r" if done < total else "\r\x1b[K"  # ECMA-48: erase the line
        print(f"asked about {done} of {total} different images", end=end, file=stream, flush=True)


def exit_code(rows: Sequence[Row], manager: ConfigSync) -> int:
    """Return 1 if anything is denied or let pass unverified for now, or if Config Sync never asks; else 2 or 0.

    2 is where anything could not be told. What the policy allows for good (a git source, a rule that passes) is 0.
    """
    found = counts(rows)
    if found["denied"] or any(row.lenient for row in rows) or asks(manager) is False:
        return EXIT_FINDINGS
    return EXIT_UNKNOWN if found["unavailable"] else EXIT_OK


def asks(manager: ConfigSync) -> bool | None:
    """Return whether Config Sync asks before it syncs, or None where that is not known."""
    return None if manager.image is None else config_sync_asks(manager.image)


def as_text(rows: Sequence[Row], manager: ConfigSync) -> str:
    """Return the table for people, what is denied first, then each reason once, and a summary."""
    cells = [("VERDICT", "REASON", "OBJECT", "SYNCED NOW"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in cells]
    lines += dict.fromkeys(_finding(row.decision) for row in rows if row.lenient or not row.decision.admits)
    summary = ", ".join(f"{number} {verdict}" for verdict, number in counts(rows).items())
    return "\n".join([*lines, f"objects: {len(rows)} ({summary})", f"Config Sync: {_describe(manager)}"])


def _finding(decision: Decision) -> str:
    """Return why it should not sync: in place of why it does all the same, what would be said without that."""
    return decision.verdict.message if decision.refused is None else decision.refused.message


def _cells(row: Row) -> tuple[str, str, str, str]:
    verdict, synced = row.decision.verdict, row.synced
    what = "nothing" if synced.what is None else _shown(synced.what)
    moved = "" if synced.current else " (the spec names another source by now)"
    name = f"{synced.kind} {_shown(synced.namespace)}/{_shown(synced.name)}"
    return verdict_name(verdict), str(verdict.reason), name, what + moved


def _shown(text: str) -> str:
    """Return what tenants chose: as it is where that is safe on a terminal, else quoted."""
    return plain(text, QUOTED_LIMIT + _DIGEST_CHARACTERS)


def _describe(manager: ConfigSync) -> str:
    if manager.image is None:
        return f"unknown version ({manager.problem}); 1.20 is the first that asks before it syncs"
    image = _shown(manager.image)
    match asks(manager):
        case True:
            return f"{image} asks before it syncs"
        case False:
            return f"{image} never asks before it syncs, so gate holds nothing back; upgrade it to 1.20 or later"
        case None:
            return f"{image} tells no version; 1.20 is the first that asks before it syncs"


def as_json(rows: Sequence[Row], manager: ConfigSync) -> str:
    """Return everything as one JSON object; its schema is docs/audit.schema.json."""
    config_sync = {"image": manager.image, "asks": asks(manager), "problem": manager.problem}
    document = {"configSync": config_sync, "counts": counts(rows), "objects": [describe_row(row) for row in rows]}
    return json.dumps(document)
