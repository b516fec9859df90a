"""``gate serve``: the webhook."""

from __future__ import annotations

import argparse

from gate.cli.options import add_settings, flag
from gate.core.errors import ConfigError
from gate.settings import DEFAULTS, from_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting."""
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped; ConfigError when a setting, key, policy, certificate or token is wrong or missing."""
    given = {name: getattr(arguments, name) for name in DEFAULTS}
    overrides = {name: value for name, value in given.items() if value is not None}
    for name, value in overrides.items():
        if not value:
            raise ConfigError(f"{flag(name)} is empty; leave it out for the default")
    settings = from_environment(overrides)

    from gate.server import serve  # noqa: PLC0415 (help does not wait for a web server)

    return serve(settings)
