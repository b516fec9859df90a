"""What contacts nothing: in a process of its own, in which every socket is a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import reviews
from tests.fakes.disk import Disk
from tests.fakes.signing import signer

NAME = "r.example/acme/platform"
POLICY = f"""\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {{git: deny, helmHttp: deny, helmOci: deny}}
rules:
  - name: platform
    match: {{images: [{NAME}]}}
    authorities: [{{name: release, key: {{file: cosign.pub}}}}]
  - name: keyless
    match: {{images: [r.example/keyless]}}
    authorities:
      - name: ci
        keyless: {{identities: [{{issuer: "https://issuer.example", subject: "ci@acme.example"}}]}}
        trustRoot: sigstore
"""
PROGRAM = """\
import socket, sys
def refuse(*_, **__):
    raise AssertionError("a socket")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from gate.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cosign.pub").write_bytes(signer().public_pem)
    (tmp_path / "policy.yaml").write_text(POLICY)
    disk = Disk(tmp_path / "bundle")
    disk.oras(disk.image(), signer())
    return tmp_path


def output(folder: Path, *words: str) -> str:
    environment = {**os.environ, "GATE_STATE_DIR": str(folder / "state")}
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_image_on_disk_needs_no_network_and_no_registries_file(folder: Path) -> None:
    assert output(folder, "verify", "--key", "cosign.pub", "--registries", "gone.yaml", "oci:bundle")


def test_for_an_image_on_disk_sigstore_is_not_asked_for_a_later_trust_root(folder: Path) -> None:
    assert output(folder, "verify", "--policy", "policy.yaml", "--as", NAME, "oci:bundle")


def test_an_offline_review_does_not_ask_sigstore_for_a_later_trust_root(folder: Path) -> None:
    (folder / "review.json").write_text(json.dumps(reviews.review(reviews.sync(reviews.oci()))))
    assert output(folder, "review", "--offline", "--policy", "policy.yaml", "review.json")
