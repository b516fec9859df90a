"""Entries of real logs: Sigstore's public ones, and those that real cosign and Rekor wrote for the fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

import pytest

from gate.core.artifacts import read_artifact_signature
from gate.core.certificates import public_key
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import parse_public_key
from gate.core.manifests import Manifest, parse_manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import UntrustedSignature
from gate.core.transparency import LoggedSignature, verify_entries
from gate.core.trust import Log, parse_trusted_root
from tests.fakes.shared import shared_fixture
from tests.fakes.signing import candidates

PUBLIC_GOOD = "https://tuf-repo-cdn.sigstore.dev"


@dataclass(frozen=True, slots=True)
class Real:
    """A signature, and the logs that its trust root lists."""

    signature: UntrustedSignature
    about: LoggedSignature
    logs: tuple[Log, ...]

    @classmethod
    def of(cls, signature: UntrustedSignature, root: bytes, key: Path) -> Real:
        """Return the signature by its certificate or, where it carries none, by the key in a file."""
        leaf = next(iter(signature.material.certificates()), None)
        signer = parse_public_key(key.read_bytes()) if leaf is None else public_key(leaf)
        about = LoggedSignature(signature.signature, signature.message, signer, leaf, signature.payload)
        return cls(signature, about, parse_trusted_root(root).logs)

    def times(self, about: LoggedSignature | None = None) -> tuple[int, ...]:
        material = self.signature.material
        proved = verify_entries(material.entries(), about or self.about, self.logs, material.demand)
        return tuple(int(at.timestamp()) for at in proved.times)


def conformance(case: str) -> Real:
    folder = shared_fixture("conformance") / case
    bundle = (folder / "bundle.sigstore.json").read_bytes()
    artifact = folder / "artifact" if (folder / "artifact").exists() else folder.parent / "a.txt"
    own = folder / "trusted_root.json"
    shipped = resources.files("sigstore") / "_store" / quote(PUBLIC_GOOD, safe="") / "trusted_root.json"
    root = own.read_bytes() if own.exists() else shipped.read_bytes()
    signature = read_artifact_signature(bundle, artifact.read_bytes())
    return Real.of(signature, root, folder.parent / "managed-key-happy-path" / "key.pub")


@pytest.mark.parametrize(
    ("case", "times"),
    [
        ("happy-path-v0.1", [1689177396]),
        ("happy-path-v0.3", [1710869186]),
        ("happy-path-v0.3-new-mediaType", [1710869186]),
        ("happy-path-intoto-in-dsse-v3", [1734374576]),
        ("intoto-with-custom-trust-root", [1675209600]),
        ("managed-key-happy-path", [1766077479]),
        ("bundle-with-sct-with-extensions", []),
        ("rekor2-happy-path", []),
        ("rekor2-dsse-happy-path", []),
        ("rekor2-checkpoint-cosigned", []),
        ("rekor2-checkpoint-multiple-cosigs", []),
        ("rekor2-checkpoint-two-sigs-from-origin", []),
        ("rekor2-timestamp-with-embedded-cert", []),
        ("rekor2-timestamp-without-embedded-cert", []),
        ("trust-root-tsa-validity-end-inclusive", []),
        # Refused elsewhere: by the time, which the first one's log has honestly promised and Rekor v2 cannot.
        ("integrated-time-in-future_fail", [1778168051]),
        ("rekor2-no-timestamp_fail", []),
    ],
)
def test_entries_of_the_public_logs_prove_what_they_should(case: str, times: list[int]) -> None:
    assert conformance(case).times() == tuple(times)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("bundle-from-wrong-instance_fail", "no log entry of the signature is in a log that the trust root lists"),
        ("checkpoint-bad-keyhint_fail", "the checkpoint of the log entry is not signed by its log"),
        ("dsse-invalid-sig_fail", "the log entry belongs to another signature"),
        ("dsse-mismatch-envelope_fail", "the log entry belongs to another payload"),
        ("incorrect-public-key_fail", "the inclusion proof of the log entry does not lead to its root"),
        ("intoto-missing-inclusion-proof_fail", "the log entry has no inclusion proof with a checkpoint"),
        (
            "invalid-checkpoint-signature_fail",
            "the checkpoint of the log entry carries a signature that is not its log's",
        ),
        ("invalid-inclusion-proof_fail", "the log entry has no inclusion proof with a checkpoint"),
        ("rekor2-checkpoint-missing-origin_fail", "the checkpoint of the log entry is not of the tree of its proof"),
        ("rekor2-checkpoint-missing-root-hash_fail", "the checkpoint of the log entry is not of the tree of its proof"),
        (
            "rekor2-checkpoint-no-matching-signature_fail",
            "the checkpoint of the log entry carries a signature that is not its log's",
        ),
        ("rekor2-dsse-invalid-sig_fail", "the log entry belongs to another signature"),
        ("rekor2-dsse-mismatch-sig_fail", "the log entry belongs to another signature"),
        ("rekor2-no-inclusion-proof_fail", "the log entry has no inclusion proof with a checkpoint"),
        ("wrong-hashedrekord-artifact_fail", "the log entry belongs to another message"),
        ("wrong-hashedrekord-entry_fail", "the log entry belongs to another message"),
    ],
)
def test_entries_of_the_public_logs_are_refused_for_what_is_wrong_with_them(case: str, message: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        conformance(case).times()
    assert (caught.value.reason, caught.value.message) == (Reason.LOG_ENTRY, message)


def test_a_checkpoint_that_nobody_signed_is_malformed() -> None:
    with pytest.raises(MalformedError, match=r"^the checkpoint of the log entry does not end with a line that is"):
        conformance("rekor2-checkpoint-missing-log-signature_fail").times()


@dataclass(frozen=True, slots=True)
class Folder:
    """The dump of one repository."""

    path: Path

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str] | None:
        """Return nothing: all manifests are read."""
        return None

    def blob(self, repository: str, digest: Digest) -> bytes | None:
        """Return the bytes."""
        return (self.path / "blobs" / digest.tag).read_bytes()


ROOTS = {"signed": "fake-tr.json", "sigstore-box": "trusted_root.json"}


def signatures(fixture: str, repository: str, key: str) -> Iterator[Real]:
    """Yield every signature in a repository of the fixtures."""
    base = shared_fixture(fixture)
    folder = Folder(base / repository)
    for path in sorted((base / repository / "manifests").iterdir()):
        manifest = parse_manifest(path.read_bytes())
        found = candidates(manifest, "here", folder, repository) if isinstance(manifest, Manifest) else ()
        for each in found:
            if isinstance(each, UntrustedSignature):
                yield Real.of(each, (base / "keys" / ROOTS[fixture]).read_bytes(), base / "keys" / key)


TIMES = {"signed": (1795223706,), "sigstore-box": ()}  # Rekor v1, and Rekor v2 with a timestamp authority
COSIGN = [
    ("signed", "fk/c2key", "i-p256.pub"),
    ("signed", "fk/c2kl2", ""),
    ("signed", "fk/c3kk", ""),
    ("signed", "fk/c3leg", ""),
    ("sigstore-box", "h/kl", ""),
    ("sigstore-box", "h/eve", ""),
    ("sigstore-box", "h/key", "a.pub"),
    ("sigstore-box", "h/two", "a.pub"),
    ("sigstore-box", "h/twice", "a.pub"),
]


@pytest.mark.parametrize(("fixture", "repository", "key"), COSIGN)
def test_what_cosign_logged_is_proved_and_its_time_where_the_log_has_one(
    fixture: str, repository: str, key: str
) -> None:
    found = list(signatures(fixture, repository, key))
    assert len(found) == (2 if repository in {"h/two", "h/twice"} else 1)
    for real in found:
        assert real.times() == TIMES[fixture]


@pytest.mark.parametrize("repository", ["h/keynolog", "h/tsa"])
def test_what_cosign_did_not_log_has_no_entry(repository: str) -> None:
    (real,) = signatures("sigstore-box", repository, "a.pub")
    with pytest.raises(UntrustedError) as caught:
        real.times()
    assert caught.value.reason is Reason.NO_LOG_ENTRY


@pytest.mark.parametrize("fixture", ROOTS)
def test_no_entry_that_cosign_made_counts_for_another_of_its_signatures(fixture: str) -> None:
    found = [real for name, repository, key in COSIGN if name == fixture for real in signatures(name, repository, key)]
    assert len(found) >= 4
    for real, other in permutations(found, 2):
        with pytest.raises(UntrustedError, match=r"^the log entry belongs to another "):
            real.times(other.about)
