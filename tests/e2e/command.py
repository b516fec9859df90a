"""``gate verify``, as somebody at a terminal runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.cosign import KeyPair
from tests.e2e.webhook import gate_program

SECONDS = 30

Printed = dict[str, Any]


def verify(image: str, folder: Path, *options: str | Path) -> tuple[int, Printed]:
    """Return the exit code of ``gate verify`` in ``folder``, over plain HTTP, and the JSON object that it printed."""
    argv = [str(each) for each in (gate_program(), "verify", image, "--plain-http", "-o", "json", *options)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def verify_with_key(image: str, keys: KeyPair) -> tuple[int, Printed]:
    """Return what ``gate verify --key`` says."""
    return verify(image, keys.public.parent, "--key", keys.public)
