"""What the webhook asks, writes and imports for a trust root, overheard in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gate.core.oci import Digest
from gate.demo import layouts
from gate.demo.registry import serve
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.demo.webhook import registries
from tests.fakes.reviews import claim, encode, oci, poll, sync

SIGNER = Signer.generate()
KEY = "{name: release, key: {file: cosign.pub}}"
SIGSTORE = "{name: release, trustRoot: sigstore, keyless: {identities: [{issuer: https://a.example, subject: b}]}}"
TUF = "tuf-repo-cdn.sigstore.dev"
SHIPPED = "Sigstore's trust root is the one shipped with sigstore 4.5."
UNREACHED = f"it was not refreshed: https://{TUF} could not be read: "


@dataclass
class Overheard:
    """One registry with one signed image, and a directory for everything else."""

    directory: Path
    host: str
    review: bytes
    state: Path = field(init=False)
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state, self.home = self.directory / "state", self.directory / "home"
        self.home.mkdir()
        (self.directory / "cosign.pub").write_bytes(SIGNER.public_pem)
        (self.directory / "registries.yaml").write_bytes(registries(self.host))

    def run(self, authority: str, told: str) -> dict[str, Any]:
        """Return what was overheard of a webhook with this authority, until its readiness has ``told``."""
        policy = self.directory / "policy.yaml"
        policy.write_text(
            "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
            "sources: {git: deny, helmHttp: deny, helmOci: deny}\n"
            f'rules: [{{name: r, match: {{images: ["{self.host}/**"]}}, authorities: [{authority}]}}]\n'
        )
        done = subprocess.run(
            [sys.executable, "-B", Path(__file__).with_name("overheard.py"), told],
            input=self.review,
            env={
                "GATE_POLICY": str(policy),
                "GATE_REGISTRIES": str(self.directory / "registries.yaml"),
                "GATE_AUTH": "anonymous",
                "GATE_STATE_DIR": str(self.state),
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                "PYTHONPATH": str(Path(__file__).parents[3]),
            },
            cwd=self.home,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert list(self.home.iterdir()) == []
        heard: dict[str, Any] = json.loads(done.stdout)
        return heard

    def wrote_elsewhere(self, heard: dict[str, Any]) -> list[str]:
        return [path for path in heard["written"] if not Path(path).is_relative_to(self.state)]

    def registry(self) -> str:
        host, _, port = self.host.partition(":")
        return str((host, int(port)))


@pytest.fixture
def overheard(tmp_path: Path) -> Iterator[Overheard]:
    store = Store()
    raw = layouts.image({"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}, [])
    digest = store.push_manifest("team/config", raw)
    SIGNER.sign_tag(store, "team/config", digest)
    with serve(store) as host:
        image = f"{host}/team/config@{digest}"
        review = encode(poll(sync(oci(image), claim(f"{image}@{digest}"))))
        yield Overheard(tmp_path, host, review)


def test_a_policy_of_keys_imports_neither_library_and_asks_nobody_but_the_registry(overheard: Overheard) -> None:
    heard = overheard.run(KEY, "ok")
    assert heard["response"]["allowed"] is True
    assert heard["modules"] == []
    assert heard["asked"] == [overheard.registry()]
    assert heard["written"] == []
    assert heard["told"] == "ok\n"


def test_where_sigstore_cannot_be_asked_the_shipped_root_serves_and_readiness_says_so(overheard: Overheard) -> None:
    heard = overheard.run(SIGSTORE, UNREACHED)
    assert heard["status"] == 200
    first, second = heard["told"].splitlines()
    assert first == "ok"
    assert second.startswith(SHIPPED)
    assert UNREACHED in second
    assert heard["modules"] == ["sigstore", "tuf"]
    assert heard["asked"] == sorted([overheard.registry(), TUF])
    # The image is signed by a key alone: it is judged under the root, and refused for what it lacks.
    assert heard["response"]["status"]["message"].startswith("untrusted: ")


def test_nothing_is_written_outside_of_the_state_directory(overheard: Overheard) -> None:
    heard = overheard.run(SIGSTORE, UNREACHED)
    assert heard["written"] != []
    assert overheard.wrote_elsewhere(heard) == []


def test_a_state_directory_that_cannot_be_written_does_not_keep_gate_from_starting(overheard: Overheard) -> None:
    overheard.state.write_text("a file")
    heard = overheard.run(SIGSTORE, "cannot be written")
    assert heard["status"] == 200
    assert SHIPPED in heard["told"]
    assert TUF not in heard["asked"]
    assert heard["response"]["status"]["message"].startswith("untrusted: ")


def test_garbage_in_the_state_directory_does_not_keep_gate_from_starting(overheard: Overheard) -> None:
    names = "root.json timestamp.json snapshot.json targets.json kept/targets.json kept/trusted_root.json"
    for name in names.split():
        path = overheard.state / "tuf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff{")
    heard = overheard.run(SIGSTORE, UNREACHED)
    assert heard["status"] == 200
    assert SHIPPED in heard["told"]
