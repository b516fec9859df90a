"""Repositories that real cosign signed, answered by ``gate verify --key`` as the recording says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from gate.cli import main
from gate.core.oci import Digest
from gate.demo.registry import serve
from gate.demo.store import Store
from tests.fakes.shared import FIXTURES, shared_fixture

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "verify.schema.json").read_text())
# The recording names every repository of these two folders; where it is absent one case stands for all and is skipped.
RECORDED = FIXTURES / "signed" / "expected-by-prototype.json"


def load(name: str, *, referrers_api: bool) -> tuple[Store, Digest]:
    """Return the dumped repository and the digest that its own tag names."""
    folder = shared_fixture("signed")
    tags = json.loads((folder / "index.json").read_text())[name]
    by_digest: dict[str, list[str]] = {}
    for tag, target in tags.items():
        by_digest.setdefault(target["digest"], []).append(tag)
    store = Store(referrers_api=referrers_api)
    for path in (folder / name / "manifests").iterdir():
        raw = path.read_bytes()
        digest = str(Digest.of(raw))
        media_type = json.loads(raw)["mediaType"]
        store.push_manifest(name, raw, media_type)
        for tag in by_digest.get(digest, []):
            if not tag.startswith("sha256:"):
                store.tag(name, tag, Digest.of(raw))
    for path in (folder / name / "blobs").iterdir():
        store.push_blob(name, path.read_bytes())
    (own,) = (target["digest"] for tag, target in tags.items() if not tag.startswith("sha256"))
    return store, Digest.parse(own)


def cases() -> Iterator[tuple[str, str, bool]]:
    if not RECORDED.exists():
        yield "k/p256-c2l", "i-p256.pub", True
        return
    recorded: dict[str, list[str]] = json.loads(RECORDED.read_text())
    for name, lines in recorded.items():
        if name.startswith("fk/"):
            continue
        keys = {word for line in lines for word in line.split() if word.endswith(".pub")}
        for key in sorted(keys):
            good = [line for line in lines if f" {key} OK" in line]
            yield name, key, any(line.startswith("legacy") or line.endswith(SIGNATURE) for line in good)


@pytest.mark.parametrize(("name", "key", "admitted"), list(cases()))
@pytest.mark.parametrize("referrers_api", [True, False])
def test_gate_verify_answers_what_cosign_signed(
    name: str,
    key: str,
    admitted: bool,
    referrers_api: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, digest = load(name, referrers_api=referrers_api)
    path = shared_fixture("signed") / "keys" / key
    with serve(store) as address:
        code = main(["verify", "--plain-http", "--key", str(path), "-o", "json", f"{address}/{name}@{digest}"])
    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, SCHEMA)
    assert (code, answer["verdict"]) == ((0, "verified") if admitted else (1, "denied"))
    assert answer["digest"] == str(digest)
    if name == "t/att":
        assert answer["message"].startswith("no signatures found")


def test_the_recording_names_thirty_repositories_and_keys_or_more() -> None:
    shared_fixture("signed")
    assert len(list(cases())) >= 30
