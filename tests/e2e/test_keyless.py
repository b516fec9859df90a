"""Identities, and keys with a log, by real cosign at a private Sigstore: what the command and the cluster say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.command import Printed, verify
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.images import Repository
from tests.e2e.keyless import KeylessSigner, sign_logged
from tests.e2e.sigstore_box import Keys, Sigstore
from tests.e2e.syncs import oci
from tests.e2e.webhook import GateServer, plain_http, registered_instead
from tests.e2e.workbench import Workbench

DEV, EVE = "dev@example.test", "eve@example.test"
BUNDLE_SIGNER = SIGNERS[-1]

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judges:
    """Command and cluster with the same policy, whose rules are each about repositories that begin with their names."""

    cluster: Cluster
    gate: GateServer
    policy: Path
    host: str

    def repository(self, rule: str) -> Repository:
        """Return an empty repository that the rule is about."""
        return Repository(self.host, f"{rule}/{Workbench(self.cluster).repository(self.host).name}")

    def judge(self, image: str) -> Printed:
        """Return what ``gate verify`` prints, after the cluster has said the same and has done so."""
        code, printed = verify(image, self.policy.parent, "--policy", self.policy)
        sync = Workbench(self.cluster).sync("RootSync")
        answer = self.cluster.admin.create(f"{sync.list_path()}?dryRun=All", sync.object(oci(image)))
        assert (code, answer.status) in ((0, 201), (1, 400)), answer.message
        (recorded,) = self.gate.decisions()[-1]["decisions"]
        assert recorded | printed == recorded | {"reference": image}
        return printed


def whose(printed: Printed) -> list[str]:
    """Return the reason of each candidate, in order."""
    return sorted(each["reason"] for each in printed["candidates"])


def keyless(name: str, email: str, sigstore: Sigstore, root: Path, **demand: str) -> Document:
    """Return the authority that trusts an identity of the issuer."""
    identity = {"subject": email, "issuer": sigstore.issuer.url}
    return {"name": name, "keyless": {"identities": [identity]}, "trustRoot": {"file": str(root)}, **demand}


def rule(name: str, host: str, *authorities: Document, count: int = 1) -> Document:
    """Return the rule about the repositories that begin with its name."""
    match = {"images": [f"{host}/{name}/**"]}
    return {"name": name, "match": match, "authorities": list(authorities), "require": {"count": count}}


def write_policy(path: Path, *rules: Document) -> Path:
    """Write a policy that denies what no rule is about."""
    sources = {"git": "allow", "helmHttp": "deny", "helmOci": "deny"}
    head = {"apiVersion": "gate/v1", "kind": "Policy", "noMatch": "deny", "sources": sources}
    # JSON is YAML, and repeats what a dump of YAML would refer to: a policy has no anchors.
    path.write_text(json.dumps({**head, "rules": list(rules)}))
    return path


@pytest.fixture(scope="module")
def dev(sigstore: Sigstore) -> KeylessSigner:
    """Return the identity whose signatures count."""
    return KeylessSigner(sigstore, DEV)


@pytest.fixture(scope="module")
def eve(sigstore: Sigstore) -> KeylessSigner:
    """Return an identity that Sigstore vouches for as well, and only the rule of two names."""
    return KeylessSigner(sigstore, EVE)


@pytest.fixture(scope="module")
def policy(folder: Path, sigstore: Sigstore, olareg: str, release: KeyPair) -> Path:
    """Return the policy of command and cluster."""
    root = sigstore.trusted_root
    by_dev, by_eve = keyless("dev", DEV, sigstore, root), keyless("eve", EVE, sigstore, root)
    stamped = keyless("dev", DEV, sigstore, root, transparencyLog="ignore", signedTimestamp="required")
    key = {"name": "release", "key": {"file": str(release.public)}, "trustRoot": {"file": str(root)}}
    foreign = keyless("dev", DEV, sigstore, sigstore.trust("foreign", Keys()))
    return write_policy(
        folder / "keyless.yaml",
        rule("one", olareg, by_dev),
        rule("two", olareg, by_dev, by_eve, count=2),
        rule("stamped", olareg, stamped),
        rule("logged", olareg, key | {"transparencyLog": "required"}),
        rule("foreign", olareg, foreign),
    )


@pytest.fixture(scope="module")
def judges(
    folder: Path, cluster: Cluster, gate: GateServer, policy: Path, olareg: str, release: KeyPair
) -> Iterator[Judges]:
    """Return the command and the cluster, asked with the policy."""
    own = folder / "keyless"
    own.mkdir()
    with (
        GateServer(own, release, [plain_http(olareg)], GATE_POLICY=str(policy)) as server,
        registered_instead(cluster, server, gate),
    ):
        yield Judges(cluster, server, policy, olareg)


@pytest.fixture(scope="module")
def signed(judges: Judges, dev: KeylessSigner) -> tuple[Repository, str]:
    """Return a repository and the digest in it that dev signed with a bundle."""
    repository = judges.repository("one")
    digest = repository.push()
    dev.sign(f"{repository}@{digest}")
    return repository, digest


def test_a_bundle_of_the_identity_is_admitted(
    judges: Judges, signed: tuple[Repository, str], sigstore: Sigstore
) -> None:
    repository, digest = signed
    printed = judges.judge(f"{repository}@{digest}")
    assert (printed["reason"], printed["digest"]) == ("verified", digest)
    (candidate,) = printed["candidates"]
    assert candidate["format"] == "bundle"
    assert candidate["signer"] == {"authority": "dev", "identity": f'["{sigstore.issuer.url}", "{DEV}"]'}


def test_a_bundle_of_another_identity_is_denied(judges: Judges, eve: KeylessSigner) -> None:
    repository = judges.repository("one")
    image = f"{repository}@{repository.push()}"
    eve.sign(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["identity"])
    assert EVE in printed["candidates"][0]["message"]


def test_two_signers_are_two_identities_and_not_two_signatures(
    judges: Judges, dev: KeylessSigner, eve: KeylessSigner
) -> None:
    repository = judges.repository("two")
    image = f"{repository}@{repository.push()}"
    dev.sign(image)
    dev.sign(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("not-enough-signers", ["verified", "verified"])
    # Of a digest whose signatures were found, gate asks the registry again after a while; this one is new to it.
    other = f"{repository}@{repository.push()}"
    dev.sign(other)
    eve.sign(other)
    printed = judges.judge(other)
    assert (printed["reason"], whose(printed)) == ("verified", ["verified", "verified"])


def test_a_tag_based_signature_with_a_timestamp_and_no_log_is_admitted_where_no_log_is_wanted(
    judges: Judges, dev: KeylessSigner, eve: KeylessSigner
) -> None:
    for signer, reason, candidate in ((dev, "verified", "verified"), (eve, "untrusted", "identity")):
        repository = judges.repository("stamped")
        image = f"{repository}@{repository.push()}"
        signer.sign_tag_based(image)
        printed = judges.judge(image)
        assert (printed["reason"], whose(printed)) == (reason, [candidate])
        assert printed["candidates"][0]["format"] == "simplesigning"


def test_a_tag_based_signature_without_log_is_denied_where_the_log_is_wanted(
    judges: Judges, dev: KeylessSigner
) -> None:
    repository = judges.repository("one")
    image = f"{repository}@{repository.push()}"
    dev.sign_tag_based(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["no-log-entry"])


def test_a_signature_of_a_key_is_admitted_with_its_log_entry_and_denied_without(
    judges: Judges, sigstore: Sigstore, release: KeyPair
) -> None:
    repository = judges.repository("logged")
    logged, unlogged = (f"{repository}@{repository.push()}" for _ in range(2))
    sign_logged(sigstore, logged, release)
    BUNDLE_SIGNER.sign(unlogged, release)
    printed = judges.judge(logged)
    assert (printed["reason"], whose(printed)) == ("verified", ["verified"])
    printed = judges.judge(unlogged)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["no-log-entry"])


def test_a_signature_of_a_key_is_denied_where_an_identity_is_wanted(
    judges: Judges, sigstore: Sigstore, release: KeyPair
) -> None:
    repository = judges.repository("one")
    image = f"{repository}@{repository.push()}"
    sign_logged(sigstore, image, release)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["certificate"])


def test_an_identity_is_denied_where_a_key_is_wanted(judges: Judges, dev: KeylessSigner) -> None:
    repository = judges.repository("logged")
    image = f"{repository}@{repository.push()}"
    dev.sign(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["certificate"])


def test_a_bundle_that_was_copied_from_another_image_is_denied(judges: Judges, signed: tuple[Repository, str]) -> None:
    repository, digest = signed
    evil = repository.push()
    repository.copy_bundle(digest, evil)
    printed = judges.judge(f"{repository}@{evil}")
    assert (printed["reason"], whose(printed)) == ("untrusted", ["wrong-digest"])


def test_a_tag_based_signature_that_was_copied_from_another_image_is_denied(judges: Judges, dev: KeylessSigner) -> None:
    repository = judges.repository("stamped")
    good, evil = repository.push(), repository.push()
    dev.sign_tag_based(f"{repository}@{good}")
    repository.copy_signature(good, evil)
    printed = judges.judge(f"{repository}@{evil}")
    assert (printed["reason"], whose(printed)) == ("untrusted", ["wrong-digest"])


def test_an_attestation_is_no_signature(judges: Judges, dev: KeylessSigner) -> None:
    repository = judges.repository("one")
    image = f"{repository}@{repository.push()}"
    dev.attest(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("no-signature", ["attestation"])
    assert "no signatures found" in printed["message"]


def test_a_bundle_from_a_sigstore_that_is_not_trusted_is_denied(judges: Judges, dev: KeylessSigner) -> None:
    repository = judges.repository("foreign")
    image = f"{repository}@{repository.push()}"
    dev.sign(image)
    printed = judges.judge(image)
    assert (printed["reason"], whose(printed)) == ("untrusted", ["log-entry"])


@pytest.mark.parametrize(
    ("service", "reason"),
    [("fulcio", "certificate"), ("rekor", "log-entry"), ("ct_log", "no-sct"), ("timestamps", "timestamp")],
)
def test_every_service_of_sigstore_has_to_be_trusted(
    service: str, reason: str, signed: tuple[Repository, str], sigstore: Sigstore, folder: Path
) -> None:
    repository, digest = signed
    root = sigstore.trust(f"foreign-{service}", replace(sigstore.keys, **{service: getattr(Keys(), service)}))
    policy = write_policy(folder / f"{service}.yaml", rule("one", repository.host, keyless("dev", DEV, sigstore, root)))
    code, printed = verify(f"{repository}@{digest}", folder, "--policy", policy)
    assert (code, printed["reason"], whose(printed)) == (1, "untrusted", [reason])
