"""Identities, and keys with a log, by real cosign at a private Sigstore: what the command and the cluster say."""

from __future__ import annotations

import itertools
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
from tests.e2e.syncs import Sync, oci
from tests.e2e.webhook import GateServer, plain_http, registered_instead

DEV, EVE = "dev@example.test", "eve@example.test"
BUNDLE_SIGNER = SIGNERS[-1]

_numbers = itertools.count(1)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judges:
    """Command and cluster with the same policy, whose rules are each about objects that begin with their names."""

    cluster: Cluster
    gate: GateServer
    policy: Path

    def judge(self, image: str, rule: str) -> Printed:
        """Return what ``gate verify`` prints by the rule, after the cluster has said the same and has done so."""
        sync = Sync("RootSync", f"{rule}-{next(_numbers)}")
        code, printed = verify(image, self.policy.parent, "--policy", self.policy, "--name", sync.name)
        answer = self.cluster.admin.create(f"{sync.list_path()}?dryRun=All", sync.object(oci(image)))
        assert (code, answer.status) in ((0, 201), (1, 400)), answer.message
        (recorded,) = self.gate.decisions()[-1]["decisions"]
        assert recorded | printed == recorded | {"reference": image}
        assert [each["name"] for each in printed["rules"]] == [rule]
        return printed


def reasons(printed: Printed) -> list[str]:
    """Return the reason of each candidate, sorted."""
    return sorted(each["reason"] for each in printed["candidates"])


def keyless(name: str, email: str, sigstore: Sigstore, root: Path, **demand: str) -> Document:
    """Return the authority that trusts an identity of the issuer."""
    identity = {"subject": email, "issuer": sigstore.issuer.url}
    return {"name": name, "keyless": {"identities": [identity]}, "trustRoot": {"file": str(root)}, **demand}


def rule(name: str, *authorities: Document, count: int = 1) -> Document:
    """Return the rule about every image of the objects that begin with its name."""
    match = {"images": ["**"], "names": [f"{name}-*"]}
    return {"name": name, "match": match, "authorities": list(authorities), "require": {"count": count}}


def write_policy(path: Path, *rules: Document) -> Path:
    """Write a policy that denies what no rule is about."""
    sources = {"git": "allow", "helmHttp": "deny", "helmOci": "deny"}
    head = {"apiVersion": "gate/v1", "kind": "Policy", "noMatch": "deny", "sources": sources}
    # JSON is YAML, and repeats what a dump of YAML would refer to: a policy has no anchors.
    path.write_text(json.dumps({**head, "rules": list(rules)}))
    return path


def foreign(sigstore: Sigstore) -> Iterator[Document]:
    """Yield rules whose trust roots have another Sigstore, and this one with one service of the other's."""
    keys, other = sigstore.keys, Keys()
    roots = {
        "sigstore": other,
        "fulcio": replace(keys, fulcio=other.fulcio),
        "rekor": replace(keys, rekor=other.rekor),
        "ct-log": replace(keys, ct_log=other.ct_log),
        "timestamps": replace(keys, timestamps=other.timestamps),
    }
    for name, trusted in roots.items():
        root = sigstore.trust(f"foreign-{name}", trusted)
        yield rule(f"foreign-{name}", keyless("dev", DEV, sigstore, root))


@pytest.fixture(scope="module")
def dev(sigstore: Sigstore) -> KeylessSigner:
    """Return the identity whose signatures count."""
    return KeylessSigner(sigstore, DEV)


@pytest.fixture(scope="module")
def eve(sigstore: Sigstore) -> KeylessSigner:
    """Return an identity that Sigstore vouches for as well, and only the rule of two names."""
    return KeylessSigner(sigstore, EVE)


@pytest.fixture(scope="module")
def policy(folder: Path, sigstore: Sigstore, release: KeyPair) -> Path:
    """Return the policy of command and cluster."""
    root = sigstore.trusted_root
    by_dev, by_eve = keyless("dev", DEV, sigstore, root), keyless("eve", EVE, sigstore, root)
    stamped = keyless("dev", DEV, sigstore, root, transparencyLog="ignore", signedTimestamp="required")
    key = {"name": "release", "key": {"file": str(release.public)}, "trustRoot": {"file": str(root)}}
    return write_policy(
        folder / "keyless.yaml",
        rule("one", by_dev),
        rule("two", by_dev, by_eve, count=2),
        rule("stamped", stamped),
        rule("logged", key | {"transparencyLog": "required"}),
        *foreign(sigstore),
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
        yield Judges(cluster, server, policy)


@pytest.fixture(scope="module")
def repository(olareg: str) -> Repository:
    """Return the repository of all the images."""
    return Repository(olareg, "acme/keyless")


@pytest.fixture(scope="module")
def by_dev(repository: Repository, dev: KeylessSigner) -> str:
    """Return the digest of an image that dev signed with a bundle."""
    digest = repository.push()
    dev.sign(f"{repository}@{digest}")
    return digest


@pytest.fixture(scope="module")
def stamped_by_dev(repository: Repository, dev: KeylessSigner) -> str:
    """Return the digest of an image that dev signed tag-based, with a timestamp and no log entry."""
    digest = repository.push()
    dev.sign_tag_based(f"{repository}@{digest}")
    return digest


@pytest.fixture(scope="module")
def logged(repository: Repository, sigstore: Sigstore, release: KeyPair) -> str:
    """Return the digest of an image that a key signed with a bundle that has a log entry."""
    digest = repository.push()
    sign_logged(sigstore, f"{repository}@{digest}", release)
    return digest


def test_a_bundle_of_the_identity_is_admitted(
    judges: Judges, repository: Repository, by_dev: str, sigstore: Sigstore
) -> None:
    printed = judges.judge(f"{repository}@{by_dev}", "one")
    assert (printed["reason"], printed["digest"]) == ("verified", by_dev)
    (candidate,) = printed["candidates"]
    assert candidate["format"] == "bundle"
    assert candidate["signer"] == {"authority": "dev", "identity": f'["{sigstore.issuer.url}", "{DEV}"]'}


def test_a_bundle_of_another_identity_is_denied(judges: Judges, repository: Repository, eve: KeylessSigner) -> None:
    image = f"{repository}@{repository.push()}"
    eve.sign(image)
    printed = judges.judge(image, "one")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["identity"])
    assert EVE in printed["candidates"][0]["message"]


@pytest.mark.parametrize(("second", "reason"), [("dev", "not-enough-signers"), ("eve", "verified")])
def test_two_signers_are_two_identities_and_not_two_signatures(
    second: str, reason: str, judges: Judges, repository: Repository, dev: KeylessSigner, eve: KeylessSigner
) -> None:
    image = f"{repository}@{repository.push()}"
    dev.sign(image)
    {"dev": dev, "eve": eve}[second].sign(image)
    printed = judges.judge(image, "two")
    assert (printed["reason"], reasons(printed)) == (reason, ["verified", "verified"])


def test_a_tag_based_signature_with_a_timestamp_is_admitted_only_where_no_log_is_wanted(
    judges: Judges, repository: Repository, stamped_by_dev: str
) -> None:
    image = f"{repository}@{stamped_by_dev}"
    printed = judges.judge(image, "stamped")
    assert (printed["reason"], reasons(printed)) == ("verified", ["verified"])
    assert printed["candidates"][0]["format"] == "simplesigning"
    printed = judges.judge(image, "one")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["no-log-entry"])


def test_a_tag_based_signature_of_another_identity_is_denied(
    judges: Judges, repository: Repository, eve: KeylessSigner
) -> None:
    image = f"{repository}@{repository.push()}"
    eve.sign_tag_based(image)
    printed = judges.judge(image, "stamped")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["identity"])


def test_a_signature_of_a_key_is_admitted_with_its_log_entry(
    judges: Judges, repository: Repository, logged: str
) -> None:
    printed = judges.judge(f"{repository}@{logged}", "logged")
    assert (printed["reason"], reasons(printed)) == ("verified", ["verified"])


def test_a_signature_of_a_key_is_denied_without_its_log_entry(
    judges: Judges, repository: Repository, release: KeyPair
) -> None:
    image = f"{repository}@{repository.push()}"
    BUNDLE_SIGNER.sign(image, release)
    printed = judges.judge(image, "logged")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["no-log-entry"])


def test_a_signature_of_a_key_is_denied_where_an_identity_is_wanted(
    judges: Judges, repository: Repository, logged: str
) -> None:
    printed = judges.judge(f"{repository}@{logged}", "one")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["certificate"])


def test_an_identity_is_denied_where_a_key_is_wanted(judges: Judges, repository: Repository, by_dev: str) -> None:
    printed = judges.judge(f"{repository}@{by_dev}", "logged")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["certificate"])


def test_a_bundle_that_was_copied_from_another_image_is_denied(
    judges: Judges, repository: Repository, by_dev: str
) -> None:
    evil = repository.push()
    repository.copy_bundle(by_dev, evil)
    printed = judges.judge(f"{repository}@{evil}", "one")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["wrong-digest"])


def test_a_tag_based_signature_that_was_copied_from_another_image_is_denied(
    judges: Judges, repository: Repository, stamped_by_dev: str
) -> None:
    evil = repository.push()
    repository.copy_signature(stamped_by_dev, evil)
    printed = judges.judge(f"{repository}@{evil}", "stamped")
    assert (printed["reason"], reasons(printed)) == ("untrusted", ["wrong-digest"])


def test_an_attestation_is_no_signature(judges: Judges, repository: Repository, dev: KeylessSigner) -> None:
    image = f"{repository}@{repository.push()}"
    dev.attest(image)
    printed = judges.judge(image, "one")
    assert (printed["reason"], reasons(printed)) == ("no-signature", ["attestation"])
    assert "no signatures found" in printed["message"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("sigstore", "log-entry"),
        ("fulcio", "certificate"),
        ("rekor", "log-entry"),
        ("ct-log", "no-sct"),
        ("timestamps", "timestamp"),
    ],
)
def test_a_bundle_is_denied_where_a_service_of_its_sigstore_is_not_trusted(
    other: str, reason: str, judges: Judges, repository: Repository, by_dev: str
) -> None:
    printed = judges.judge(f"{repository}@{by_dev}", f"foreign-{other}")
    assert (printed["reason"], reasons(printed)) == ("untrusted", [reason])
