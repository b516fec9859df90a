"""``gate verify`` on a laptop and the webhook in the cluster give the same verdict on the same image."""

from __future__ import annotations

import pytest

from tests.e2e.command import verify_with_key
from tests.e2e.cosign import SIGNERS, KeyPair, Signer
from tests.e2e.processes import free_port
from tests.e2e.syncs import oci
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench


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
        exit_code, printed = verify_with_key(image, release)
        assert (exit_code, printed["reason"], printed["digest"]) == (code, reason, image.partition("@")[2])
        recorded = gate.decisions()[-1]
        assert (recorded["reason"], recorded["dryRun"]) == (reason, True)
        assert answer.ok == (code == 0)
        assert answer.ok or printed["message"] in answer.message


def test_a_registry_that_is_not_there_is_exit_code_2(release: KeyPair) -> None:
    exit_code, printed = verify_with_key(f"127.0.0.1:{free_port()}/acme/config@sha256:{'0' * 64}", release)
    assert (exit_code, printed["verdict"]) == (2, "unavailable")


def test_an_image_that_is_not_there_is_denied_with_exit_code_1(release: KeyPair, olareg: str) -> None:
    exit_code, printed = verify_with_key(f"{olareg}/acme/nothing:v1", release)
    assert (exit_code, printed["reason"]) == (1, "not-found")
