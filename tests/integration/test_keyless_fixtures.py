"""Repositories that real cosign signed against private Sigstores, answered by ``gate verify --policy`` as recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.recorded import ask, load
from tests.fakes.shared import FIXTURES, shared_fixture

Document = dict[str, object]

BOX_ISSUER = "http://127.0.0.1:15990"
IDP = "https://idp.example.test"
DEV, EVE = "dev@example.test", "eve@example.test"
LOGGED: Document = {"transparencyLog": "required"}
STAMPED: Document = {"transparencyLog": "ignore", "signedTimestamp": "required"}


def keyless(folder: Path, root: str, issuer: str, subject: str, **demand: object) -> Document:
    """Return an authority of one identity under a trust root of the recordings."""
    identities = [{"issuer": issuer, "subject": subject}]
    trusted = {"file": str(folder / "keys" / root)}
    return {"name": subject.partition("@")[0], "keyless": {"identities": identities}, "trustRoot": trusted, **demand}


def keyed(folder: Path, key: str, root: str | None = None) -> Document:
    """Return an authority of one key of the recordings, which must be logged where there is a trust root."""
    document: Document = {"name": key.partition(".")[0], "key": {"file": str(folder / "keys" / key)}}
    return document if root is None else {**document, **LOGGED, "trustRoot": {"file": str(folder / "keys" / root)}}


def policy(path: Path, authorities: list[Document], count: int = 1) -> Path:
    """Write the policy that every image needs so many of these authorities."""
    rule = {"name": "signed", "match": {"images": ["**"]}, "require": {"count": count}, "authorities": authorities}
    sources = {"git": "deny", "helmHttp": "deny", "helmOci": "deny"}
    document = {"apiVersion": "gate/v1", "kind": "Policy", "noMatch": "deny", "sources": sources, "rules": [rule]}
    path.write_text(yaml.safe_dump(document))
    return path


def box_policy(name: str, path: Path) -> Path:
    """Write the policy that ``cases.json`` calls by this name."""
    folder = shared_fixture("sigstore-box")
    dev = keyless(folder, "trusted_root.json", BOX_ISSUER, DEV)
    a = keyed(folder, "a.pub")
    authorities = {
        "dev": [dev],
        "eve": [keyless(folder, "trusted_root.json", BOX_ISSUER, EVE)],
        "key-a": [a],
        "key-b": [keyed(folder, "b.pub")],
        "key-a-log": [keyed(folder, "a.pub", "trusted_root.json")],
        "two": [dev, a],
        "dev-tsa": [{**dev, **STAMPED}],
    }[name]
    return policy(path, authorities, 2 if name == "two" else 1)


def box_cases() -> Iterator[tuple[str, str, str]]:
    """Every question of the recording; where it is absent one stands for all and is skipped."""
    recorded = FIXTURES / "sigstore-box" / "cases.json"
    if not recorded.exists():
        yield "h/kl", "dev", "verified"
        return
    for name, answers in json.loads(recorded.read_text()).items():
        for asked, verdict in answers.items():
            yield name, asked, verdict


@pytest.mark.parametrize(("name", "asked", "verdict"), list(box_cases()))
def test_gate_verify_answers_what_cosign_signed_with_a_private_sigstore(
    name: str, asked: str, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, digest = load("sigstore-box", name, referrers_api=True)  # recorded where there is one
    code = ask(store, name, digest, "--policy", box_policy(asked, tmp_path / "policy.yaml"))
    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["verdict"]) == ((0, "verified") if verdict == "verified" else (1, "denied"))
    assert answer["digest"] == str(digest)


def test_the_recording_asks_twenty_questions_or_more_and_has_both_answers() -> None:
    shared_fixture("sigstore-box")
    asked = list(box_cases())
    assert len(asked) >= 20
    assert {verdict for _, _, verdict in asked} == {"verified", "denied"}


FAKE = ["fk/c2key", "fk/c2kl2", "fk/c3kk", "fk/c3leg"]


def fake_authority(name: str) -> Document:
    """Return the authority of which the recording says that it accepts this repository."""
    folder = shared_fixture("signed")
    (line,) = json.loads((folder / "expected-by-prototype.json").read_text())[name]
    assert " OK" in line
    if "+tlog" in line:
        return keyed(folder, line.split()[1].removesuffix("+tlog"), "fake-tr.json")
    return keyless(folder, "fake-tr.json", IDP, DEV)


@pytest.mark.parametrize("name", FAKE)
def test_gate_verify_accepts_what_the_recording_accepts(name: str, tmp_path: Path) -> None:
    store, digest = load("signed", name, referrers_api=True)
    assert ask(store, name, digest, "--policy", policy(tmp_path / "policy.yaml", [fake_authority(name)])) == 0


@pytest.mark.parametrize("name", FAKE)
@pytest.mark.parametrize("wrong", ["root", "subject", "issuer", "key"])
def test_gate_verify_denies_them_under_another_trust_root_or_to_anybody_else(
    name: str, wrong: str, tmp_path: Path
) -> None:
    folder = shared_fixture("signed")
    authority = {
        "root": {**fake_authority(name), "trustRoot": {"file": str(folder / "keys" / "tr-own.json")}},
        "subject": keyless(folder, "fake-tr.json", IDP, EVE),
        "issuer": keyless(folder, "fake-tr.json", f"{IDP}.evil.example", DEV),
        "key": keyed(folder, "b.pub", "fake-tr.json"),
    }[wrong]
    store, digest = load("signed", name, referrers_api=True)
    assert ask(store, name, digest, "--policy", policy(tmp_path / "policy.yaml", [authority])) == 1


def test_every_recorded_repository_of_that_sigstore_is_asked_about() -> None:
    recorded = json.loads((shared_fixture("signed") / "expected-by-prototype.json").read_text())
    assert [name for name in recorded if name.startswith("fk/")] == FAKE
