"""The signature vectors: what lies beside an image and a policy in, the verdict and each reason out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.core import formats
from gate.core.manifests import Manifest, parse_manifest
from gate.core.oci import Digest, Reference
from gate.core.signature import Candidate, Evidence
from gate.core.verdict import Verified
from gate.core.verify import decide
from gate.trust.policyfile import load_policy
from tests.fakes.roots import FakeRoots
from tests.fakes.signing import NOW
from tests.vectors.signatures import make

CASES = sorted(path for path in make.HERE.iterdir() if path.name.rpartition("_")[2] in {"admit", "deny"})


def candidates(directory: Path) -> tuple[Candidate, ...]:
    """Return what the formats read from the manifests and documents of a case, in their order."""
    found: list[Candidate] = []
    for path in sorted(directory.glob("*-manifest.json")):
        manifest = parse_manifest(path.read_bytes())
        assert isinstance(manifest, Manifest)
        document = path.with_name(path.name.replace("manifest", "document")).read_bytes()
        form = formats.recognise(manifest)
        assert form is not None
        found += form.read(manifest, path.name, {Digest.of(document): document})
    return tuple(found)


def said_of(directory: Path) -> dict[str, object]:
    """Return what the core says of a case, as expected.json has it."""
    digest = Digest.parse(json.loads((directory / "expected.json").read_text())["digest"])
    policy = load_policy(directory / "policy.yaml", FakeRoots())
    reference = Reference("registry.example", "team/config", digest=digest)
    decision = decide(reference, Evidence(candidates(directory)), policy.rules, policy.no_match, NOW)
    return {
        "digest": str(digest),
        "verdict": "verified" if isinstance(decision.verdict, Verified) else "denied",
        "reason": str(decision.verdict.reason),
        "candidates": [str(result.reason) for result in decision.candidates],
    }


@pytest.mark.parametrize("directory", CASES, ids=lambda path: path.name)
def test_a_vector_is_answered_as_it_expects(directory: Path) -> None:
    expected = json.loads((directory / "expected.json").read_text())
    assert said_of(directory) == expected
    assert directory.name.endswith("_admit" if expected["verdict"] == "verified" else "_deny")


def test_the_generator_makes_these_cases_and_they_are_answered_the_same_with_new_keys(tmp_path: Path) -> None:
    made = list(make.cases())
    names = [case.directory for case in made]
    assert sorted(names) == [path.name for path in CASES]
    for case in made:
        directory = tmp_path / case.directory
        directory.mkdir()
        for name, data in make.files(case).items():
            (directory / name).write_bytes(data)
        kept = make.HERE / case.directory
        assert {path.name for path in directory.iterdir()} == {path.name for path in kept.iterdir()}
        for name in ("expected.json", "policy.yaml"):
            assert (directory / name).read_bytes() == (kept / name).read_bytes()
        assert said_of(directory) == json.loads((directory / "expected.json").read_text())
