"""``gate verify``: the verdict that the cluster would give."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

from gate.cli import images, options
from gate.core import limits
from gate.core.errors import ConfigError
from gate.core.oci import Reference
from gate.core.quote import plain
from gate.core.report import describe, verdict_name
from gate.core.subjects import Image
from gate.core.verdict import ADMITTING, CandidateResult, Decision, Denied, Exempt, Unavailable, Verified

IMAGES_LIMIT = 1000  # images of one call


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help=images.HELP)
    images.add_name_option(parser)
    options.add_engine_options(parser)
    options.add_context_options(parser)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict on each image; return 0 if all are admitted, 1 if any is denied, 2 if any could not be told."""
    if len(arguments.images) > IMAGES_LIMIT:
        raise ConfigError(f"{len(arguments.images)} images are named, more than {IMAGES_LIMIT}")
    settings = options.settings(arguments)
    named = images.parse_images(arguments.images, arguments.known_as, settings.policy)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)

    context = options.context(arguments)
    hosts = frozenset(image.at.registry for image in named if isinstance(image.at, Reference))
    # Where every image is on disk nobody is asked, not even for a later trust root: there may be no network.
    policy = compose.load_policy(settings) if hosts else compose.load_policy_offline(settings)
    line = compose.CommandLine(hosts, plain_http=arguments.plain_http, token=options.token(arguments))
    show: Callable[[str, Decision], str] = as_json if arguments.output == "json" else as_text
    code = 0
    with ExitStack() as opened:
        # Images on disk need no registry, and so no credentials that would have to be there.
        gate = cache(lambda: opened.enter_context(compose.open_gate(settings, line)))
        if hosts:
            gate()  # a setting that is wrong is told before any verdict
        for image in named:
            deadline = compose.deadline(arguments.timeout)
            if isinstance(image.at, Reference):
                decision = gate().decide(policy, Image(image.at), context, deadline)
            else:
                decision = image.at.decide(policy, context, deadline)
            print(show(image.text, decision), flush=True)
            code = max(code, exit_code(decision))
    return code


def exit_code(decision: Decision) -> int:
    """Return 0 for verified and exempt, 1 for denied, 2 when it could not be told."""
    match decision.verdict:
        case Verified() | Exempt():
            return 0
        case Denied():
            return 1
        case Unavailable():
            return 2


def as_text(image: str, decision: Decision) -> str:
    """Return the verdict for people: the verdict and its sentence, warnings, and a line for each candidate."""
    verdict = decision.verdict
    lines = [f"{verdict_name(verdict):<12}{plain(image, limits.REFERENCE_CHARACTERS)}", f"  {verdict.message}"]
    if isinstance(verdict, ADMITTING):
        lines += [f"  warning: {warning}" for warning in verdict.warnings]
    if decision.candidates:
        rows = [("FORMAT", "RESULT", "WHERE", "WHY"), *map(_row, decision.candidates)]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines += ["  " + "  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows]
    return "\n".join(lines)


def _row(candidate: CandidateResult) -> tuple[str, str, str, str]:
    why = candidate.message if candidate.signer is None else f"by {plain(candidate.signer.authority)}"
    return candidate.format, str(candidate.reason), candidate.location, why


def as_json(image: str, decision: Decision) -> str:
    """Return the verdict as one line of JSON; its schema is docs/verify.schema.json."""
    return json.dumps({"reference": image, **describe(decision)})
