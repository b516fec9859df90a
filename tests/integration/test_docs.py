"""docs/: every snippet is loaded or run as it is written, and what the text names exists."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.core.authorities import SecondOpinion
from gate.core.oci import Reference
from gate.core.policy import Context, Policy
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.registry.entries import parse_registries
from gate.strictyaml import parse
from gate.trust.policyfile import load_policy
from gate.trust.publicgood import read_shipped
from tests.fakes.roots import FakeRoots
from tests.fakes.signing import signer
from tests.readme import ROOT, Block, block, blocks, commands

DOCUMENTS = {name: (ROOT / "docs" / name).read_text() for name in ("policy.md", "rollout.md")}
YAML = [
    pytest.param(each, id=f"{name} {each.mark or number}")
    for name, text in DOCUMENTS.items()
    for number, each in enumerate(blocks(text))
    if each.language == "yaml"
]
# What a part of a policy leaves out.
REST = {
    "apiVersion": "apiVersion: gate/v1\n",
    "kind": "kind: Policy\n",
    "noMatch": "noMatch: deny\n",
    "sources": "sources: {git: deny, helmHttp: deny, helmOci: deny}\n",
    "rules": 'rules: [{name: none, match: {images: ["**"]}, static: fail}]\n',
}
MOUNTS = (Path("/cosign-key"), Path("/etc/gate"))


@dataclass(slots=True)
class Cluster(FakeRoots):
    """What is mounted in the cluster: a key of its own in every file that ends in .pub, and Sigstore's own root."""

    policy: str = ""
    keys: dict[Path, bytes] = field(default_factory=dict)

    def read(self, path: Path, limit: int, what: str) -> bytes:
        assert path.parent in MOUNTS
        if path.name == "policy.yaml":
            return self.policy.encode()[: limit + 1]
        assert path.suffix == ".pub", what
        return self.keys.setdefault(path, signer("p256", len(self.keys)).public_pem)

    def file(self, path: Path) -> TrustedRoot:
        assert path == Path("/etc/gate/trusted_root.json")
        return parse_trusted_root(read_shipped().trusted_root)

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        return parse_trusted_root(read_shipped().trusted_root), self.second


def load(text: str) -> Policy:
    return load_policy(Path("/etc/gate/policy.yaml"), Cluster(policy=text))


def recipe(name: str) -> Policy:
    (found,) = (each.text for each in blocks(DOCUMENTS["policy.md"]) if each.mark == f"policy: {name}")
    return load(found)


@pytest.mark.parametrize("snippet", YAML)
def test_every_yaml_snippet_loads(snippet: Block) -> None:
    match snippet.mark.partition(":")[0]:
        case "registries":
            assert parse_registries(snippet.text.encode(), name="registries.yaml")
        case "other":
            assert parse(snippet.text.encode(), limit=len(snippet.text.encode()), name="snippet")
        case kind:
            missing = [rest for name, rest in REST.items() if not re.search(rf"^{name}:", snippet.text, re.MULTILINE)]
            assert not (missing and kind == "policy")  # a recipe is complete
            assert load("".join((*missing, snippet.text))).rules


# Whom each recipe is about: image, kind/namespace/name of the object, and the rules that must be satisfied.
DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64
ACME = "us-docker.pkg.dev/acme"
ROOT_SYNC = "RootSync/config-management-system/root-sync"
RECIPES = {
    "one-key": [(f"docker.io/library/anything@{OTHER}", ROOT_SYNC, ["every-image"])],
    "two-teams": [
        (f"{ACME}/team-a/app@{OTHER}", "RepoSync/team-a/repo-sync", ["team-a"]),
        (f"{ACME}/team-b/app@{OTHER}", "RepoSync/team-b-test/repo-sync", ["team-b"]),
        (f"{ACME}/team-b/app@{OTHER}", "RepoSync/team-a/repo-sync", []),
        (f"{ACME}/team-a/app@{OTHER}", "RootSync/team-a/repo-sync", []),
    ],
    "keyless": [
        (f"{ACME}/config/platform@{OTHER}", ROOT_SYNC, ["platform"]),
        (f"{ACME}/other/platform@{OTHER}", ROOT_SYNC, []),
    ],
    "two-of-three": [(f"{ACME}/production/a/b@{OTHER}", ROOT_SYNC, ["production"])],
    "known-bad": [
        (f"{ACME}/config/platform@{DIGEST}", ROOT_SYNC, ["rolled-back", "every-image"]),
        (f"{ACME}/config/platform@{OTHER}", ROOT_SYNC, ["every-image"]),
    ],
    "allow-listed": [
        (f"{ACME}/sandbox/playground@{OTHER}", "RepoSync/sandbox/repo-sync", ["sandbox"]),
        (f"{ACME}/sandbox/playground@{OTHER}", ROOT_SYNC, []),
        (f"{ACME}/sandbox/other@{OTHER}", "RepoSync/sandbox/repo-sync", []),
    ],
    "own-sigstore": [(f"{ACME}/a@{OTHER}", ROOT_SYNC, ["every-image"])],
    "air-gap": [(f"registry.internal.example:5000/config/platform@{OTHER}", ROOT_SYNC, ["every-image"])],
}


def test_every_recipe_is_in_the_table() -> None:
    marks = (each.mark.split(": ") for each in blocks(DOCUMENTS["policy.md"]))
    assert [mark[1] for mark in marks if mark[0] == "policy"] == list(RECIPES)


@pytest.mark.parametrize(
    ("name", "image", "asker", "rules"), [(name, *case) for name, cases in RECIPES.items() for case in cases]
)
def test_a_recipe_holds_whom_it_says_to_its_rules(name: str, image: str, asker: str, rules: list[str]) -> None:
    policy = recipe(name)
    found = policy.matching(Reference.parse(image), Context(*asker.split("/")))
    assert [rule.name for rule in found] == rules
    assert policy.covers(Reference.parse(image), Context(*asker.split("/"))) is bool(rules)


def test_a_host_of_the_air_gap_is_named_by_the_operator() -> None:
    assert recipe("air-gap").literal_hosts == {"registry.internal.example:5000"}


# Commands


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_gate_is_one_that_gate_takes(name: str) -> None:
    found = [line.partition(".venv/bin/gate ") for line in commands(DOCUMENTS[name]) if ".venv/bin/gate " in line]
    assert found
    for before, _, after in found:
        command, *words = shlex.split(after)
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"gate.cli.{command}").configure(parser)
        parser.parse_args([*words, "IMAGE"] if before.endswith("xargs ") else words)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_and_heading_that_is_named_exists(name: str) -> None:
    text = DOCUMENTS[name]
    for path, _, anchor in (link.partition("#") for link in re.findall(r"\]\(((?!http)[^)]+)\)", text)):
        target = (ROOT / "docs" / path).resolve()
        assert target.exists(), path
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, anchor
    for path in re.findall(r"\bmanifests(?:/[a-z-]+(?:\.yaml)?)*|components/[a-z-]+", text):
        assert (ROOT / path).exists() or (ROOT / "manifests" / path).exists(), path


def shell(script: str, folder: Path, **programs: str) -> str:
    """Run a block in ``folder``, where ``programs`` are found before all others; return what it prints."""
    (folder / "bin").mkdir()
    for name, text in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    command = ["sh", "-eu", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the command is that of GNU date")
def test_the_end_of_the_rollout_is_set_by_the_command_and_is_in_effect(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "manifests" / "observe", tmp_path / "manifests" / "observe")
    shell(block("until", DOCUMENTS["rollout.md"]), tmp_path)
    policy = load((tmp_path / "manifests" / "observe" / "policy.yaml").read_text())
    now = datetime.now(UTC)
    assert policy.rollout is not None
    assert policy.without_effect(now) == ()
    assert timedelta(days=12) < policy.rollout.until - now <= timedelta(days=14)


def log(*decisions: dict[str, object]) -> str:
    """Return the command that prints a log with these records, among other lines."""
    lines = [{"event": "listening"}, *({"event": "decision", "decision": each} for each in decisions)]
    return "cat <<'END'\n" + "\n".join(json.dumps(line) for line in lines) + "\nEND"


def record(name: str, reason: str, *subjects: str) -> dict[str, object]:
    whose: dict[str, object] = {"kind": "RepoSync", "namespace": "team-a", "name": name, "allowed": True}
    return {**whose, "reason": reason, "message": f"why {name}", "decisions": [{"subject": each} for each in subjects]}


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    """Return what runs a block over a log; skips where jq is not installed."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    return lambda name, *records, **more: shell(
        block(name, DOCUMENTS["rollout.md"]), tmp_path, kubectl=log(*records), **more
    )


def test_the_list_of_what_would_be_denied_names_each_object_once(listed: Callable[..., str]) -> None:
    records = [record("a", "rollout"), record("b", "verified"), record("a", "rollout")]
    assert listed("list", *records) == "RepoSync\tteam-a\ta\twhy a\n"


def test_all_that_is_synced_is_asked_about_with_the_new_key(listed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    gate = tmp_path / ".venv" / "bin" / "gate"
    gate.write_text('#!/bin/sh\necho "$@"\n')
    gate.chmod(0o755)
    records = [record("a", "verified", "r.example/a@x"), record("a", "git"), record("b", "verified", "r.example/b@y")]
    assert listed("new-key", *records) == "verify --key next.pub r.example/a@x r.example/b@y\n"
