"""The Sigstore in memory is believed by the field's own verifier, and by nobody once it was tampered with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from gate.core.formats.dsse import IN_TOTO_TYPE
from gate.core.oci import Digest
from tests.fakes.sigstore import ISSUER, SUBJECT, Made, Rekor, Sigstore

IMAGE = Digest.of(b"an image")
BOX = Sigstore.create()
FOREIGN = Sigstore.create(name="foreign")


def library_accepts(made: Made, folder: Path, root: bytes | None = None, subject: str = SUBJECT) -> bool:
    """Return whether the ``sigstore`` package accepts the bundle, and what it returns is the statement."""
    path = folder / "trusted_root.json"
    path.write_bytes(root or BOX.trusted_root())
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(path)))
    try:
        opened = verifier.verify_dsse(Bundle.from_json(made.document()), Identity(identity=subject, issuer=ISSUER))
    except Error:
        return False
    return opened == (IN_TOTO_TYPE, made.content)


@pytest.mark.parametrize("stamped", [True, False])
def test_the_library_accepts_a_bundle_in_rekor_v1(stamped: bool, tmp_path: Path) -> None:
    made = BOX.sign("bundle", BOX.enroll(), IMAGE, stamped=stamped)
    assert library_accepts(made, tmp_path)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_the_library_accepts_a_bundle_in_rekor_v2_with_a_timestamp(kind: str, tmp_path: Path) -> None:
    log = Rekor.v2(f"other.{kind}", BOX.rekor2.window, kind)
    made = BOX.sign("bundle", BOX.enroll(), IMAGE, log=log)
    assert library_accepts(made, tmp_path, BOX.trusted_root(logs=[BOX.rekor, log]))


def test_the_library_refuses_another_identity(tmp_path: Path) -> None:
    made = BOX.sign("bundle", BOX.enroll(subject="eve@example.com"), IMAGE)
    assert not library_accepts(made, tmp_path)
    assert library_accepts(made, tmp_path, subject="eve@example.com")


@pytest.mark.parametrize("part", ["ca", "ct", "rekor", "rekor2", "tsa"])
def test_the_library_refuses_each_part_of_a_foreign_instance(part: str, tmp_path: Path) -> None:
    box = replace(BOX, **{part: getattr(FOREIGN, part)})
    log = box.rekor2 if part in {"rekor2", "tsa"} else box.rekor
    made = box.sign("bundle", box.enroll(), IMAGE, log=log)
    assert not library_accepts(made, tmp_path)
    assert library_accepts(made, tmp_path, box.trusted_root())


def test_the_library_refuses_an_entry_of_another_signature(tmp_path: Path) -> None:
    holder = BOX.enroll()
    made, other = (BOX.sign("bundle", holder, IMAGE) for _ in range(2))
    assert not library_accepts(replace(made, entries=other.entries), tmp_path)
