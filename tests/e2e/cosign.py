"""Signing with real cosign and a key pair: no transparency log, no service."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.toolbox import tool

SECONDS = 60

PLAIN = ("--allow-http-registry", "--allow-insecure-registry")


@dataclass(frozen=True, slots=True)
class Login:
    """What cosign needs for a registry with TLS: who signed its certificate, and a folder with docker's config.json."""

    authority: Path
    docker_config: Path | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Return this as cosign's environment."""
        config = {} if self.docker_config is None else {"DOCKER_CONFIG": str(self.docker_config)}
        return {"SSL_CERT_FILE": str(self.authority), **config}


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

    def sign(self, image: str, keys: KeyPair, login: Login | None = None) -> None:
        """Sign ``image`` (repository and digest) and store the signature beside it; without ``login``, over http."""
        assert "@sha256:" in image, "signed by digest, never by tag"
        arguments = ["--key", str(keys.private), "--tlog-upload=false", *self.flags, *(PLAIN if login is None else ())]
        environ = {} if login is None else login.environ
        run(self.program, keys.private.parent, "sign", *arguments, "-y", image, **environ)


SIGNERS = (
    Signer("cosign2-tag", "cosign2", ()),
    Signer("cosign3-tag", "cosign3", ("--use-signing-config=false", "--new-bundle-format=false")),
    Signer("cosign3-bundle", "cosign3", ("--use-signing-config=false",)),
)


def key_pair(folder: Path, name: str) -> KeyPair:
    """Make a key pair with cosign itself."""
    run("cosign3", folder, "generate-key-pair", "--output-key-prefix", name)
    return KeyPair(folder / f"{name}.key", folder / f"{name}.pub")


def imported(folder: Path, name: str, private: Path) -> KeyPair:
    """Return the key in ``private`` (PEM, not encrypted) as cosign takes it in."""
    run("cosign3", folder, "import-key-pair", "--key", str(private), "--output-key-prefix", name, "--yes")
    return KeyPair(folder / f"{name}.key", folder / f"{name}.pub")


def run(program: str, folder: Path, *arguments: str, **variables: str) -> None:
    """Run cosign in ``folder`` with nothing of the caller's environment; what it says is shown only when it fails."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": "", **variables}
    argv = [str(tool(program)), *arguments]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
