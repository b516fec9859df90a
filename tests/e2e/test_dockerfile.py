"""The Dockerfile's own steps, executed without an engine; what they install runs as somebody who can write nothing.

This needs the package index, which is why it is not part of the suite that works offline.
"""

from __future__ import annotations

import ast
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.dockerfile import PROJECT, copied, stages

BUILD, RUN = stages()
NOBODY = 65532  # the image's user; it need not exist
INSTALL_SECONDS = 600  # all packages, from a slow index
RUN_SECONDS = 30  # a command of gate, on a machine that is busy with other tests


@dataclass(frozen=True, slots=True)
class Image:
    """A folder in which the paths of the image's /opt are found under ``opt``."""

    opt: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a container: what ENV sets and no more."""
        declared = {name: self.here(value) for name, value in RUN.environment.items()}
        return {**declared, "PATH": declared["PATH"].replace("$PATH", "/usr/bin:/bin"), "HOME": "/nonexistent"}

    def here(self, text: str) -> str:
        """Return ``text`` with the image's /opt replaced by this one."""
        return text.replace("/opt/", f"{self.opt}/")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Return the outcome of a command run as the image's user."""
        return subprocess.run(
            command,
            cwd="/",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
            **as_nobody(),
        )

    def files(self) -> dict[str, tuple[int, int]]:
        """Return the size and the time of change (nanoseconds) of everything in the image."""
        found = {path: path.lstat() for path in self.opt.rglob("*")}
        return {str(path): (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def as_nobody() -> dict[str, Any]:
    """Return what makes a subprocess run as the image's user; without root it stays the user who runs the tests."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def interpreter() -> Path:
    """Return the folder of a python3 that is new enough and that the image's user can read."""
    for folder in (Path(sys.base_prefix, "bin"), Path("/usr/local/bin"), Path("/usr/bin")):
        question = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
        try:
            done = subprocess.run([folder / "python3", "-c", question], cwd="/", check=False, **as_nobody())
        except OSError:
            continue
        if done.returncode == 0:
            return folder
    pytest.fail("no python3 of at least 3.11 that another user can read; install one, or run the tests without root")


def build(folder: Path) -> Image:
    """Execute the build stage in ``folder``, as the user who runs the tests."""
    source, image = folder / "src", Image(folder / "opt")
    source.mkdir()
    image.opt.mkdir()
    for name, target in copied(BUILD):
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, source / target)
    environment = {**os.environ, "PATH": f"{interpreter()}:/usr/bin:/bin"}
    for line in BUILD.of("RUN"):
        done = subprocess.run(
            ["/bin/sh", "-c", image.here(line)],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return image


def writable(folder: Path, *, by_owner: bool) -> None:
    """Give or take the owner's right to write in a tree; nobody else has it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & ~0o222
            path.chmod(mode | 0o200 if by_owner else mode)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not pytest's own folder: no other user may enter that.
    folder = Path(tempfile.mkdtemp(prefix="gate-image-"))
    try:
        folder.chmod(0o755)
        built = build(folder)
        writable(built.opt, by_owner=False)
        yield built
    finally:
        writable(folder, by_owner=True)
        shutil.rmtree(folder)


@pytest.fixture
def unwritten(image: Image) -> Iterator[None]:
    before = image.files()
    yield
    assert image.files() == before


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize(
    "command", [["gate", "--version"], ["gate", "verify", "--help"], ["python", "-m", "gate", "--version"]]
)
def test_the_program_runs_as_another_user_and_writes_nothing(image: Image, command: list[str]) -> None:
    done = image.run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize(
    "module", ["flask", "gunicorn.app.base", "kubernetes.client", "oras.provider", "sigstore.verify"]
)
def test_every_package_imports_without_what_is_left_out(image: Image, module: str) -> None:
    done = image.run(["python", "-W", "error::ImportWarning", "-c", f"import {module}"])
    assert done.returncode == 0, done.stderr


def test_a_raw_call_of_the_kubernetes_client_needs_nothing_that_is_left_out(image: Image) -> None:
    code = "from kubernetes.client import ApiClient; ApiClient().param_serialize('GET', '/api')"
    done = image.run(["python", "-c", code])
    assert done.returncode == 0, done.stderr
    assert not list(image.opt.glob("gate/lib/python3*/site-packages/kubernetes/aio"))


def test_the_image_has_neither_an_installer_nor_a_build_backend(image: Image) -> None:
    for module in ("pip", "flit_core"):
        assert image.run(["python", "-c", f"import {module}"]).returncode != 0


def test_every_module_is_compiled_and_stays_valid_when_times_change(image: Image) -> None:
    sources = list(image.opt.glob("gate/lib/python3*/site-packages/gate/**/*.py"))
    assert sources
    for source in sources:
        (compiled,) = source.parent.glob(f"__pycache__/{source.stem}.*.pyc")
        # PEP 552: bit 0 of the flags, hash-based; bit 1, the source is looked at.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


@pytest.fixture
def secrets(image: Image) -> Path:
    """Return a folder as the Secrets would be mounted: a public key, and a certificate for localhost with its key."""
    folder = image.opt.parent / "secrets"
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(hours=1))
        .not_valid_after(today + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for file, content in (("tls.crt", certificate.public_bytes(pem)), ("tls.key", private), ("cosign.pub", public)):
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.usefixtures("unwritten")
def test_the_server_becomes_ready_and_stops_as_another_user_who_can_write_nothing(image: Image, secrets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "GATE_PORT": str(port),
        "GATE_KEY": str(secrets / "cosign.pub"),
        "GATE_TLS_CERT": str(secrets / "tls.crt"),
        "GATE_TLS_KEY": str(secrets / "tls.key"),
        # A policy of keys keeps nothing on disk.
        "GATE_STATE_DIR": "/nonexistent",
    }
    (program,) = ast.literal_eval(RUN.of("ENTRYPOINT")[0])
    (argument,) = ast.literal_eval(RUN.of("CMD")[0])
    with subprocess.Popen(
        [program, argument],
        cwd="/",
        env={**image.environment, **environment},
        stderr=subprocess.PIPE,
        text=True,
        **as_nobody(),
    ) as server:
        try:
            ready = answered(f"https://localhost:{port}/readyz", secrets / "tls.crt", server)
        finally:
            server.terminate()
            log = server.communicate(timeout=RUN_SECONDS)[1]
    assert ready, log
    assert server.returncode == 0, log
    assert "Traceback" not in log


def answered(url: str, ca: Path, server: subprocess.Popen[str]) -> bool:
    """Return whether ``url`` is answered with 200 while the server lives."""
    context = ssl.create_default_context(cafile=ca)
    end = time.monotonic() + RUN_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, context=context, timeout=RUN_SECONDS) as response:  # noqa: S310 - our own URL
                return bool(response.status == HTTPStatus.OK)
        except OSError:
            time.sleep(0.1)
    return False
