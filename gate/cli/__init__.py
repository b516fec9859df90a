"""The command line: one module for each command, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from gate import __version__
from gate.core.errors import GateError

EXIT_OK, EXIT_DENIED, EXIT_MISUSE = 0, 1, 2

_ROOT = Path(__file__).parents[2]  # what holds the package

# What each command does, and the module that does it. A module has ``configure(parser)`` and ``run(arguments) -> int``.
COMMANDS = {
    "serve": "run the webhook",
    "verify": "say what the cluster would say of an image",
    "audit": "say what syncs in a cluster and is not verified",
    "review": "answer recorded AdmissionReviews",
    "policy": "check and explain a policy file",
    "registry": "see how gate gets on with a registry",
    "demo": "see gate work, without a cluster",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (the process's own when None) name, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="gate", description="A signature gate for GitOps sync sources.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"gate {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Only the module of the command that is called is imported: help and verify stay quick.
    called = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False
        )
        if name == called:
            module = importlib.import_module(f"gate.cli.{name}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    parsed = parser.parse_args(words)
    return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except GateError as error:
        print(f"gate {parsed.command}: {error.message}", file=sys.stderr)
        return EXIT_MISUSE
    except KeyboardInterrupt:
        return 130  # 128 and SIGINT, as shells have it
    except BrokenPipeError:
        # Whoever read the results has seen enough; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_MISUSE
    except Exception as error:  # noqa: BLE001 (a bug must not look like a verdict: 1 means denied)
        print(f"gate {parsed.command}: a bug in gate: {type(error).__name__} at {_place(error)}", file=sys.stderr)
        return EXIT_MISUSE
    return code


def _place(error: Exception) -> str:
    """Return the last line of gate that led to ``error``; where gate is installed is nobody's business."""
    frames = ((Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__))
    own = [f"{path.relative_to(_ROOT)}:{line}" for path, line in frames if path.is_relative_to(_ROOT / "gate")]
    return own[-1]
