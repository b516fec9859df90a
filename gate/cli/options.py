"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gate.core import limits
from gate.core.errors import ConfigError
from gate.core.policy import Context
from gate.files import read_bounded
from gate.settings import DEFAULTS, Settings, from_environment
from gate.trust.policyrules import OBJECT_KINDS

TOKEN_BYTES = 64 * limits.KIB  # an access token; Google's have about 1 KiB
TIMEOUT_SECONDS = 10.0  # a person or a job waits; the webhook itself has at most 8
TIMEOUT_MAX_SECONDS = 300.0


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides the verdict: the policy, the registries and the time."""
    add_policy_options(parser)
    add_registry_options(parser)


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the policy."""
    policy = parser.add_mutually_exclusive_group()
    policy.add_argument("--key", metavar="FILE", help='the policy "every image, this public key" (PEM)')
    policy.add_argument("--policy", metavar="FILE", help="a policy file")


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides how the registries of images named on the command line are asked, and the time."""
    parser.add_argument("--plain-http", action="store_true", help="speak http to the hosts named on this command line")
    add_access_options(parser)


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides how registries are asked, whoever names them, and the time."""
    parser.add_argument("--registries", metavar="FILE", help="the registries file (as GATE_REGISTRIES)")
    parser.add_argument(
        "--token-file", metavar="FILE", help="a bare access token, or - for stdin; for GATE_TOKEN_HOSTS"
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=TIMEOUT_SECONDS, help="for each image")


def add_context_options(parser: argparse.ArgumentParser) -> None:
    """Add what rules may match besides the image: the object that would ask."""
    parser.add_argument("--kind", choices=OBJECT_KINDS, help="of the object that would ask")
    parser.add_argument("--namespace", help="of the object that would ask")
    parser.add_argument("--name", help="of the object that would ask")


def context(arguments: argparse.Namespace) -> Context:
    """Return the object that the options describe."""
    return Context(arguments.kind, arguments.namespace, arguments.name)


def settings(arguments: argparse.Namespace) -> Settings:
    """Return the environment's settings, the options winning; ConfigError as Settings.parse()."""
    given = vars(arguments)
    flags = {"GATE_KEY": "key", "GATE_POLICY": "policy", "GATE_REGISTRIES": "registries"}
    overrides = {name: given[option] for name, option in flags.items() if given.get(option) is not None}
    for name, value in overrides.items():
        if not value:
            raise ConfigError(f"{flag(name)} is empty; it takes the name of a file")
    if given.get("key") is not None:
        overrides["GATE_POLICY"] = ""
    return from_environment(overrides)


def token(arguments: argparse.Namespace) -> bytes | None:
    """Return the access token of ``--token-file``, or None; ConfigError when it cannot be read."""
    if arguments.token_file is None:
        return None
    if arguments.token_file != "-":  # noqa: S105 (the name of standard input, not a password)
        return read_bounded(Path(arguments.token_file), TOKEN_BYTES, "the token file")
    data = sys.stdin.buffer.read(TOKEN_BYTES + 1)
    if len(data) > TOKEN_BYTES:
        raise ConfigError(f"the token on standard input has more than {TOKEN_BYTES} bytes")
    return data


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting: GATE_PORT is --port."""
    for name, default in DEFAULTS.items():
        shown = "unset" if default is None else default
        parser.add_argument(flag(name), dest=name, metavar="VALUE", help=f"{name} (default: {shown})")


def flag(setting: str) -> str:
    """Return the flag that stands for a setting."""
    return "--" + setting.removeprefix("GATE_").lower().replace("_", "-")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"it takes seconds, more than 0 and at most {TIMEOUT_MAX_SECONDS:g}")
    return seconds
