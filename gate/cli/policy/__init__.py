"""``gate policy``: what a policy file says, before a cluster is held to it."""

from __future__ import annotations

import argparse
import importlib

# What each action does; the module of the same name beside this file does it.
ACTIONS = {
    "check": "find mistakes, and what deserves a second look",
    "explain": "say which rules are about an image, and what would satisfy them",
    "test": "ask policies the questions of test cases, and compare the answers",
    "schema": "print the JSON Schema of policy files, for editors",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what there is to do with a policy, each with its options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False)
        module = importlib.import_module(f"{__name__}.{name}")
        module.configure(action)
        action.set_defaults(act=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked for; return 0, 1 for findings, or 2 for misuse."""
    code: int = arguments.act(arguments)
    return code
