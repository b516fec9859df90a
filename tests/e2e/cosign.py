"""Signing with real cosign and a key pair: no transparency log, no service."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.toolbox import tool

SECONDS = 60

_PLAIN = ("--allow-http-registry", "--allow-insecure-registry")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A cosign key pair: ``private`` encrypted with the empty password, ``public`` PEM."""

    private: Path
    public: Path


@dataclass(frozen=True, slots=True)
class Signer:
    """One way in which cosign writes signatures."""

    name: str
    program: str
    flags: tuple[str, ...]

    def sign(self, image: str, keys: KeyPair) -> None:
        """Sign ``image`` (repository and digest) and store the signature beside it."""
        assert "@sha256:" in image, "signed by digest, never by tag"
        log = ("--tlog-upload=false", *self.flags)
        run(self.program, keys.private.parent, "sign", "--key", str(keys.private), *log, *_PLAIN, "-y", image)


SIGNERS = (
    Signer("cosign2-tag", "cosign2", ()),
    Signer("cosign3-tag", "cosign3", ("--use-signing-config=false", "--new-bundle-format=false")),
    Signer("cosign3-bundle", "cosign3", ("--use-signing-config=false",)),
)


def key_pair(folder: Path, name: str) -> KeyPair:
    """Make a key pair with cosign itself."""
    run("cosign3", folder, "generate-key-pair", "--output-key-prefix", name)
    return KeyPair(folder / f"{name}.key", folder / f"{name}.pub")


def run(program: str, folder: Path, *arguments: str) -> None:
    """Run cosign in ``folder`` with nothing of the caller's environment; what it says is shown only when it fails."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": ""}
    argv = [str(tool(program)), *arguments]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
