"""``python -m gate.conformance``: recorded cases of the public suite, each by the artifact and by its digest alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.conformance import MISUSE, REFUSED, main
from gate.core.oci import Digest
from gate.demo.signer import Signer
from tests.fakes.shared import FIXTURES, shared_fixture

IDENTITY = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"

# Why each case must be refused: a verifier that refuses too much would refuse these as well, for another reason.
REFUSALS = {
    "bundle-empty-certificate-chain_fail": "malformed: the bundle has 0 certificates",
    "bundle-from-wrong-instance_fail": "log-entry: no log entry of the signature is in a log that the trust root lists",
    "bundle-invalid-base64-signature_fail": "malformed: the signature is not base64",
    "bundle-malformed-json_fail": "malformed: the document is not valid JSON",
    "bundle-unknown-version_fail": "unsupported: the bundle is of type",
    "checkpoint-bad-keyhint_fail": "log-entry: the checkpoint of the log entry is not signed by its log",
    "dsse-invalid-sig_fail": "bad-signature: the signature does not verify with the key",
    "dsse-mismatch-envelope_fail": "log-entry: the log entry belongs to another payload",
    "incorrect-public-key_fail": "log-entry: the inclusion proof of the log entry does not lead to its root",
    "integrated-time-in-future_fail": "certificate: the certificate has no path to a trusted root that is valid at",
    "intoto-expired-certificate_fail": "certificate: the certificate has no path to a trusted root that is valid at",
    "intoto-missing-inclusion-proof_fail": "log-entry: the log entry has no inclusion proof with a checkpoint",
    "intoto-set-outside-signing-cert-validity_fail": "certificate: the certificate has no path to a trusted root",
    "intoto-tsa-timestamp-outside-cert-validity_fail": "certificate: the certificate has no path to a trusted root",
    "invalid-checkpoint-signature_fail": "log-entry: the checkpoint of the log entry carries a signature that is not",
    "invalid-inclusion-proof_fail": "log-entry: the log entry has no inclusion proof with a checkpoint",
    "managed-key-no-key_fail": "certificate: the signature carries no certificate, and the authority is an identity",
    "managed-key-wrong-key_fail": "malformed: it does not hold a public key",  # the recorded key.pub is none
    "message-digest-mismatch_fail": "wrong-digest: the bundle is about",
    "rekor2-checkpoint-missing-log-signature_fail": "malformed: the checkpoint of the log entry does not end with",
    "rekor2-checkpoint-missing-origin_fail": "log-entry: the checkpoint of the log entry is not of the tree",
    "rekor2-checkpoint-missing-root-hash_fail": "log-entry: the checkpoint of the log entry is not of the tree",
    "rekor2-checkpoint-no-matching-signature_fail": "log-entry: the checkpoint of the log entry carries a signature",
    "rekor2-dsse-invalid-sig_fail": "bad-signature: the signature does not verify with the key",
    "rekor2-dsse-mismatch-sig_fail": "log-entry: the log entry belongs to another signature",
    "rekor2-no-inclusion-proof_fail": "log-entry: the log entry has no inclusion proof with a checkpoint",
    "rekor2-no-timestamp_fail": "no-time: neither a log's promise nor a timestamp proves when it was signed",
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": "timestamp: a timestamp is of a time when no timestamp",
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "timestamp: a timestamp does not verify",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "timestamp: a timestamp does not verify",
    "rekor2-timestamp-with-incorrect-time_fail": "malformed: a signedTimestamp is not base64",  # it has line breaks
    "trust-root-tlog-missing-validity-start_fail": "malformed: tlogs[1].publicKey.validFor.start is missing",
    "wrong-hashedrekord-artifact_fail": "log-entry: the log entry belongs to another message",
    "wrong-hashedrekord-entry_fail": "log-entry: the log entry belongs to another message",
    "wrong-material_fail": "wrong-digest: the bundle is about",
}


@dataclass(frozen=True)
class Case:
    """One directory of the suite, as its README says how to read it."""

    directory: Path

    @property
    def artifact(self) -> Path:
        own = self.directory / "artifact"
        return own if own.exists() else self.directory.parent / "a.txt"

    @property
    def digest(self) -> str:
        return str(Digest.of(self.artifact.read_bytes()))

    @property
    def signer(self) -> list[str]:
        key = self.directory / "key.pub"
        if key.exists():
            return ["--key", str(key)]
        identity, issuer = self._text("identity", IDENTITY), self._text("issuer", ISSUER)
        return ["--certificate-identity", identity, "--certificate-oidc-issuer", issuer]

    @property
    def root(self) -> list[str]:
        path = self.directory / "trusted_root.json"
        return ["--trusted-root", str(path)] if path.exists() else []

    def words(self, artifact: str) -> list[str]:
        bundle = str(self.directory / "bundle.sigstore.json")
        return ["verify-bundle", "--bundle", bundle, *self.signer, *self.root, artifact]

    def _text(self, name: str, usual: str) -> str:
        path = self.directory / name
        return path.read_text().strip() if path.exists() else usual


def case(name: str) -> Case:
    return Case(shared_fixture("conformance") / name)


def names() -> Iterator[str]:
    recorded = FIXTURES / "conformance"
    # Where the recording is absent one case stands for all, and is skipped.
    yield from sorted(p.name for p in recorded.iterdir() if p.is_dir()) if recorded.exists() else ["happy-path-v0.1"]


@pytest.mark.parametrize("form", ["path", "digest"])
@pytest.mark.parametrize("name", list(names()))
def test_a_recorded_case_is_answered_as_its_name_says(name: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = case(name)
    code = main(recorded.words(str(recorded.artifact) if form == "path" else recorded.digest))
    told = capsys.readouterr()
    assert told.out == ""
    if name.endswith("_fail"):
        assert code == REFUSED
        assert told.err.startswith(REFUSALS[name])
        assert told.err.count("\n") == 1
    else:
        assert (code, told.err) == (0, "")


def test_every_reason_in_the_table_is_of_a_recorded_case() -> None:
    recorded = shared_fixture("conformance")
    assert {path.name for path in recorded.iterdir() if path.name.endswith("_fail")} == set(REFUSALS)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == REFUSED
    return capsys.readouterr().err


def test_a_good_bundle_is_not_anothers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = case("managed-key-happy-path")
    other = tmp_path / "other.pub"
    other.write_bytes(Signer.generate().public_pem)
    words = [str(other) if word.endswith("key.pub") else word for word in recorded.words(recorded.digest)]
    assert refused(words, capsys).startswith("bad-signature: ")


@pytest.mark.parametrize("name", ["managed-key-happy-path", "happy-path-v0.3"])
def test_a_log_is_required_of_keys_and_identities_alike(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = case(name)
    bundle = json.loads((recorded.directory / "bundle.sigstore.json").read_text())
    del bundle["verificationMaterial"]["tlogEntries"]
    (tmp_path / "unlogged.json").write_text(json.dumps(bundle))
    words = recorded.words(recorded.digest)
    words[words.index("--bundle") + 1] = str(tmp_path / "unlogged.json")
    assert refused(words, capsys).startswith("no-log-entry: ")


@pytest.mark.parametrize("wrong", [IDENTITY, ISSUER])
def test_a_good_bundle_of_another_identity_or_issuer_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = case("happy-path-v0.3")
    words = [word + "x" if word == wrong else word for word in recorded.words(recorded.digest)]
    assert refused(words, capsys).startswith("identity: the certificate names ")


@pytest.mark.parametrize("form", ["path", "digest"])
def test_a_good_bundle_of_another_artifact_is_refused(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").write_bytes(b"other")
    artifact = str(tmp_path / "other") if form == "path" else str(Digest.of(b"other"))
    assert refused(case("happy-path-v0.3").words(artifact), capsys).startswith("wrong-digest: ")


def test_without_a_trust_root_the_public_good_instance_is_trusted_and_staging_only_on_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = case("happy-path-v0.3")
    assert recorded.root == []
    command, *rest = recorded.words(recorded.digest)
    assert main([command, *rest]) == 0
    told = refused([command, "--staging", *rest], capsys)
    assert told.startswith("log-entry: no log entry of the signature is in a log that the trust root lists")


def test_what_staging_made_is_trusted_on_request_without_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = case("bundle-from-wrong-instance_fail")
    command, *rest = recorded.words(recorded.digest)
    assert main([command, "--staging", *rest]) == 0, capsys.readouterr().err


SIGNER = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER]
NOBODY_OR_TOO_MANY = {
    "nobody": [],
    "an identity of any issuer": SIGNER[:2],
    "anybody of an issuer": SIGNER[2:],
    "a key and an identity": [*SIGNER, "--key", "key.pub"],
    "an identity without a name": ["--certificate-identity", "", *SIGNER[2:]],
    "an issuer without a name": [*SIGNER[:2], "--certificate-oidc-issuer", ""],
    "a key and half an identity": [*SIGNER[:2], "--key", "key.pub"],
}


@pytest.mark.parametrize("signer", NOBODY_OR_TOO_MANY)
def test_who_signed_is_named_in_full_and_once(signer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle").write_text("{}")
    digest = str(Digest.of(b""))
    words = ["verify-bundle", "--bundle", str(tmp_path / "bundle"), *NOBODY_OR_TOO_MANY[signer], digest]
    assert main(words) == MISUSE
    wanted = "give --certificate-identity with --certificate-oidc-issuer, or --key"
    assert capsys.readouterr().err == f"gate.conformance: {wanted}\n"


@pytest.mark.parametrize("missing", ["bundle", "artifact", "trusted root"])
def test_a_file_that_is_not_there_is_misuse_and_not_a_refusal(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {"bundle", "artifact", "trusted root"} - {missing}:
        (tmp_path / name).write_text("{}")
    files = ["--bundle", str(tmp_path / "bundle"), "--trusted-root", str(tmp_path / "trusted root")]
    assert main(["verify-bundle", *files, *SIGNER, str(tmp_path / "artifact")]) == MISUSE
    assert f"the {missing} " in capsys.readouterr().err


@pytest.mark.parametrize("digest", ["sha256:", "sha256:abc", "sha256:" + "A" * 64, "sha256:" + "a" * 65])
def test_a_digest_that_is_none_is_refused(digest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["verify-bundle", "--bundle", "b", *SIGNER, digest], capsys).startswith("malformed: ")


# Whoever asks the network is told so on stderr and fails: the process is to need none.
OFFLINE = (
    "import runpy, sys\n"
    "def bar(event, arguments):\n"
    "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
    "        raise SystemExit(f'asked the network: {event} {arguments}')\n"
    "sys.addaudithook(bar)\n"
    "runpy.run_module('gate.conformance', run_name='__main__', alter_sys=True)\n"
)


@pytest.mark.parametrize(
    "name",
    ["happy-path-v0.3", "managed-key-happy-path", "rekor2-dsse-happy-path", "dsse-invalid-sig_fail"],
)
def test_the_process_exits_as_the_protocol_wants_without_a_network_or_a_home(name: str, tmp_path: Path) -> None:
    recorded = case(name)
    done = subprocess.run(
        [sys.executable, "-B", "-c", OFFLINE, *recorded.words(str(recorded.artifact))],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (REFUSED if name.endswith("_fail") else 0)
    assert done.stderr.startswith(REFUSALS.get(name, ""))
    assert (done.stdout, bool(done.stderr)) == ("", name.endswith("_fail"))
    assert list(tmp_path.iterdir()) == []


def test_the_module_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gate.conformance", "verify-bundle", "--bundle", str(tmp_path), *SIGNER, "a.txt"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == MISUSE
    assert done.stderr.startswith("gate.conformance: the artifact ")
