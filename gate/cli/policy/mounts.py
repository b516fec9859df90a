"""The option that says where on this machine the files of a cluster lie."""

from __future__ import annotations

import argparse
from pathlib import Path

from gate.trust.mounts import Mount


def add_mount_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--mount``."""
    parser.add_argument(
        "--mount",
        dest="mounts",
        metavar="PATH=DIR",
        type=_mount,
        action="append",
        default=[],
        help="read what the policy names below PATH from DIR: --mount /cosign-key=keys",
    )


def _mount(text: str) -> Mount:
    path, _, directory = text.partition("=")
    if not path.startswith("/") or not directory:
        raise argparse.ArgumentTypeError("it takes PATH=DIR, where PATH begins with /")
    return Mount(Path(path), Path(directory))
