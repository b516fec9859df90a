"""What ``cosign save`` writes to disk is verified there, with the registry gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import verify_with_key
from tests.e2e.cosign import SIGNERS, KeyPair, Signer, run
from tests.e2e.images import Repository


@pytest.mark.parametrize("program", ["cosign2", "cosign3"])
@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)
def test_a_saved_image_is_verified_with_the_signatures_that_were_saved(
    signer: Signer, program: str, registry: str, release: KeyPair, stranger: KeyPair, tmp_path: Path
) -> None:
    if (signer.name, program) == ("cosign3-bundle", "cosign2"):
        pytest.skip("cosign 2 leaves bundles behind")
    repository = Repository(registry, f"acme/{tmp_path.name}".replace("_", "-"))
    image = f"{repository}@{repository.push()}"
    signer.sign(image, release)
    run(program, tmp_path, "save", "--allow-http-registry", "--dir", "bundle", image)
    code, printed = verify_with_key(f"oci:{tmp_path}/bundle", release)
    assert (code, printed["verdict"], printed["digest"]) == (0, "verified", image.partition("@")[2])
    code, printed = verify_with_key(f"oci:{tmp_path}/bundle", stranger)
    assert (code, printed["reason"]) == (1, "untrusted")
