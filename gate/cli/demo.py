"""``gate demo``: see gate work, without a cluster."""

from __future__ import annotations

import argparse
import sys

from gate.core.errors import GateError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--stay", action="store_true", help="keep everything running and print commands to try")


def run(arguments: argparse.Namespace) -> int:
    """Show an unsigned, a signed and a tampered bundle; 0 only if every verdict was as expected."""
    from gate import compose  # noqa: PLC0415 (help does not wait for a registry, a signer and oras)
    from gate.demo.page import Page  # noqa: PLC0415
    from gate.demo.run import Show, run  # noqa: PLC0415

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        return run(Show(arguments.stay, Page(sys.stdout.isatty()), say, compose.now()))
    except GateError as error:
        print(f"gate demo: {error.message}", file=sys.stderr)
        return 1
