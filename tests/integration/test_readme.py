"""The README is run and held against the code: commands as written, tables as they are."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate import cli
from gate.core.oci import Digest, Reference
from gate.core.reasons import Reason
from gate.core.verify import no_signature_message
from gate.demo import certificate, webhook
from gate.demo.signer import Signer
from gate.registry.entries import parse_registries
from gate.settings import DEFAULTS
from gate.trust.policyfile import load_policy
from tests.fakes.roots import FakeRoots
from tests.readme import README, ROOT, block, commands

SERVICE = "signature-verification-service.oci-webhook.svc"


def handshake(port: int, context: ssl.SSLContext) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        context.wrap_socket(raw, server_hostname=SERVICE).close()


def wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_the_certificate_of_the_readme_is_served_and_trusted_for_the_services_name(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    pem = Signer.generate().public_pem
    settings = webhook.write_settings(tmp_path, "127.0.0.1:1", pem, certificate.issue(datetime.now(UTC)))
    made = tmp_path / "made"
    made.mkdir()
    subprocess.run(["sh", "-eu", "-c", block("certificate")], cwd=made, check=True, capture_output=True, timeout=30)
    for name in ("tls.crt", "tls.key"):
        shutil.copy(made / name, tmp_path / name)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(webhook.SERVE, env=settings.environment, cwd=tmp_path, stderr=log)
    try:
        wait_for(settings.port)
        handshake(settings.port, ssl.create_default_context(cafile=str(made / "ca.crt")))
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(settings.port, ssl.create_default_context())
    finally:
        process.terminate()
        process.wait(10)


def test_the_policy_of_the_readme_loads(tmp_path: Path) -> None:
    for name in ("cosign.pub", "next.pub"):
        (tmp_path / name).write_bytes(Signer.generate().public_pem)
    path = tmp_path / "policy.yaml"
    path.write_text(block("policy").replace("/cosign-key/", ""))
    policy = load_policy(path, FakeRoots())
    assert [rule.name for rule in policy.rules] == ["platform-bundles", "known-bad"]


def test_the_registries_of_the_readme_load() -> None:
    assert len(parse_registries(block("registries").encode(), name="registries.yaml")) == 2


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    section = README.partition(f"\n## {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def test_the_table_of_settings_is_the_settings() -> None:
    table = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("Settings")}
    assert table == {name: default or "unset" for name, default in DEFAULTS.items()}


def test_the_table_of_commands_is_the_commands() -> None:
    named = {cells[0].strip("`").split()[1] for cells in rows("Commands")}
    assert named == set(cli.COMMANDS)


def test_every_option_of_gate_in_the_readme_exists() -> None:
    for command in re.findall(r"`?gate (verify|audit|review|serve|demo)([^|`\n]*)", "\n".join(commands()) + README):
        parser = argparse.ArgumentParser()
        importlib.import_module(f"gate.cli.{command[0]}").configure(parser)
        for option in re.findall(r"--[a-z-]+", command[1]):
            assert option in parser.format_help(), (command, option)


def test_every_reason_that_the_readme_names_exists() -> None:
    for cells in rows("What a denial looks like"):
        for name in re.findall(r"`([^`]+)`", cells[0]):
            assert name == "no signatures found" or Reason(name) in Reason


def test_the_denial_in_the_readme_is_what_gate_says() -> None:
    digest = Digest.parse("sha256:6f62d9fcd5583d28231b0da778cd21363b0c8b7b2694d6c612408a7c110bbf56")
    subject = Reference.parse("us-docker.pkg.dev/acme/config/platform").at(digest)
    assert f"denied the request: {no_signature_message(subject, 'every-image')}\n" in README


def test_every_file_and_make_target_that_the_readme_names_exists() -> None:
    for path in re.findall(r"\]\(((?!http)[^)]+)\)", README) + re.findall(
        r"`((?:gate|manifests|tests)/[a-z_./]*)`", README
    ):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands():
        if command.startswith("make "):
            assert command.split()[1] in targets
