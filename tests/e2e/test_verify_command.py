"""``gate verify`` on a laptop and the webhook in the cluster give the same verdict on the same image."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.cosign import SIGNERS, KeyPair, Signer
from tests.e2e.processes import free_port
from tests.e2e.syncs import oci
from tests.e2e.webhook import GateServer, gate_program
from tests.e2e.workbench import Workbench

SECONDS = 30


def verify(image: str, keys: KeyPair) -> tuple[int, dict[str, Any]]:
    """Return the exit code of ``gate verify`` and the JSON object that it printed."""
    argv = [str(gate_program()), "verify", image, "--key", str(keys.public), "--plain-http", "-o", "json"]
    folder = keys.public.parent
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)
def test_the_verdict_of_the_command_is_that_of_the_cluster(
    signer: Signer,
    registry: str,
    bench: Workbench,
    release: KeyPair,
    stranger: KeyPair,
    gate: GateServer,
) -> None:
    repository, sync = bench.repository(registry), bench.sync("RootSync")
    signed, foreign, unsigned = (f"{repository}@{repository.push()}" for _ in range(3))
    signer.sign(signed, release)
    signer.sign(foreign, stranger)
    for image, code, reason in ((signed, 0, "verified"), (foreign, 1, "untrusted"), (unsigned, 1, "no-signature")):
        answer = bench.cluster.admin.create(f"{sync.list_path()}?dryRun=All", sync.object(oci(image)))
        exit_code, printed = verify(image, release)
        assert (exit_code, printed["reason"], printed["digest"]) == (code, reason, image.partition("@")[2])
        recorded = gate.decisions()[-1]
        assert (recorded["reason"], recorded["dryRun"]) == (reason, True)
        assert answer.ok == (code == 0)
        assert answer.ok or printed["message"] in answer.message


def test_a_registry_that_is_not_there_is_exit_code_2(release: KeyPair) -> None:
    exit_code, printed = verify(f"127.0.0.1:{free_port()}/acme/config@sha256:{'0' * 64}", release)
    assert (exit_code, printed["verdict"]) == (2, "unavailable")


def test_an_image_that_is_not_there_is_denied_with_exit_code_1(release: KeyPair, olareg: str) -> None:
    exit_code, printed = verify(f"{olareg}/acme/nothing:v1", release)
    assert (exit_code, printed["reason"]) == (1, "not-found")
