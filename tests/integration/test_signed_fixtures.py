"""Repositories that real cosign signed, answered by ``gate verify --key`` as the recording says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.fakes.recorded import ask, load
from tests.fakes.shared import FIXTURES, shared_fixture

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "verify.schema.json").read_text())
# The recording names every repository of these two folders; where it is absent one case stands for all and is skipped.
RECORDED = FIXTURES / "signed" / "expected-by-prototype.json"


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
    store, digest = load("signed", name, referrers_api=referrers_api)
    code = ask(store, name, digest, "--key", shared_fixture("signed") / "keys" / key)
    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, SCHEMA)
    assert (code, answer["verdict"]) == ((0, "verified") if admitted else (1, "denied"))
    assert answer["digest"] == str(digest)
    if name == "t/att":
        assert answer["message"].startswith("no signatures found")


def test_the_recording_names_thirty_repositories_and_keys_or_more() -> None:
    shared_fixture("signed")
    assert len(list(cases())) >= 30
