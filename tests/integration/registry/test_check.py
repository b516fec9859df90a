"""``gate registry check`` against registries: what it says of each request, and of what stands in the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.cli import main
from gate.compose import places
from gate.core.oci import Digest
from gate.demo import layouts, registry
from gate.demo.signer import Signer
from gate.demo.store import Store
from tests.fakes.hostile import Authority, Hostile, Raw, Reply, as_json, challenge, redirect

TOKEN = "s3cr3t-t0ken"
MANIFEST = "/v2/team/config/manifests/v1"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own logins, and no settings but those of a test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("GATE_AUTH", "token,anonymous")
    return tmp_path


@dataclass(frozen=True, slots=True)
class Signed:
    host: str
    digest: Digest
    store: Store

    @property
    def image(self) -> str:
        return f"{self.host}/team/config:v1"


@pytest.fixture
def signed() -> Iterator[Signed]:
    store, signer = Store(), Signer.generate()
    config = store.push_blob("team/config", b"{}")
    described = {"mediaType": layouts.IMAGE_CONFIG, "digest": str(config), "size": 2}
    digest = store.push_manifest("team/config", layouts.image(described, []), tag="v1")
    signer.sign_tag(store, "team/config", digest)
    signer.sign_bundle(store, "team/config", digest)
    with registry.serve(store) as host:
        yield Signed(host, digest, store)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["registry", "check", *words])
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, printed.out


def listed(settings: Path, monkeypatch: pytest.MonkeyPatch, server: Hostile, authority: Authority) -> None:
    """List the registry in GATE_REGISTRIES, and give gate a token for it."""
    (settings / "token").write_text(TOKEN)
    (settings / "registries.yaml").write_text(f'- host: "{server.host}"\n  caFile: {authority.ca_file}\n')
    monkeypatch.setenv("GATE_REGISTRIES", str(settings / "registries.yaml"))
    monkeypatch.setenv("GATE_TOKEN_FILE", str(settings / "token"))
    monkeypatch.setenv("GATE_TOKEN_HOSTS", server.host)


def test_an_image_that_can_be_read_is_listed_with_its_signatures_and_every_request(
    signed: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = check(capsys, "--plain-http", signed.image)
    assert code == 0
    assert f"registry     {signed.host}, named on this command line" in printed
    assert "credentials  none" in printed
    assert f"manifest     {signed.digest}, " in printed
    assert f"simplesigning, tag {signed.digest.tag}.sig layer 0" in printed
    assert "signature    bundle, referrer sha256:" in printed
    assert printed.endswith("ok: gate can read this image and what is signed about it\n")
    asked = [line.rsplit(f"http://{signed.host}")[1] for line in printed.splitlines() if " bytes  " in line]
    assert sorted(asked) == sorted(path.removeprefix("GET ") for path in signed.store.recent_requests)


def test_as_json_it_is_one_object(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    image = f"{signed.host}/team/config@{signed.digest}"
    code, printed = check(capsys, "--plain-http", "-o", "json", image)
    found = json.loads(printed)
    assert (code, found["image"], found["digest"]) == (0, image, str(signed.digest))
    assert [each["format"] for each in found["signatures"]] == ["simplesigning", "bundle"]
    assert len(found["requests"]) == signed.store.requests
    assert found["requests"][0].keys() == {
        "method", "url", "withCredentials", "milliseconds", "status", "bytes", "error"
    }  # fmt: skip
    assert (found["credential"], found["findings"]) == (None, [])


def test_an_image_that_is_not_there_is_a_finding(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = check(capsys, "--plain-http", f"{signed.host}/team/config:v2")
    assert code == 1
    assert 'finding      not-found: the registry has no "' in printed


def test_an_image_without_signatures_is_no_finding(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    raw = layouts.image({"mediaType": layouts.IMAGE_CONFIG, "digest": str(signed.digest), "size": 3}, [])
    signed.store.push_manifest("team/config", raw, tag="unsigned")
    code, printed = check(capsys, "--plain-http", f"{signed.host}/team/config:unsigned")
    assert code == 0
    assert "signature    none found" in printed


def test_a_refused_token_is_named_by_its_source_and_never_printed(
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    secure: Hostile,
    authority: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed(settings, monkeypatch, secure, authority)
    secure.on(MANIFEST, challenge('Bearer realm="x"'))
    for output in ("text", "json"):
        code, printed = check(capsys, "-o", output, f"{secure.host}/team/config:v1")
        assert code == 1
        assert "registry-unauthorized" in printed
        assert str(settings / "token") in printed
        assert TOKEN not in printed
    assert {seen.headers["authorization"] for seen in secure.seen} == {f"Bearer {TOKEN}"}


def test_a_challenge_its_realm_and_the_answer_are_three_requests(
    secure: Hostile, settings: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    listed(settings, monkeypatch, secure, authority)
    monkeypatch.setenv("GATE_AUTH", "anonymous")
    secure.on(MANIFEST, challenge(f'Bearer realm="{secure.url}/token",service="x"'), Reply(404, b"{}"))
    secure.on("/token", as_json({"token": TOKEN}))
    code, printed = check(capsys, f"{secure.host}/team/config:v1")
    assert code == 1
    rows = [line.split() for line in printed.splitlines() if " bytes  " in line]
    assert [(row[0], row[5], row[-1]) for row in rows] == [
        ("401", "anonymous", secure.url + MANIFEST),
        ("200", "anonymous", f"{secure.url}/token"),
        ("404", "with", secure.url + MANIFEST),
    ]
    assert TOKEN not in printed


@pytest.mark.parametrize(
    ("answer", "reason", "outcome"),
    [
        (Reply(403, b"{}"), "registry-unauthorized", "403"),
        (Reply(429, b"{}"), "registry-limited", "429"),
        (Reply(500, b"{}"), "registry-error", "500"),
        (Reply(200, b"not json"), "malformed", "200"),
        (redirect("http://169.254.169.254/computeMetadata"), "registry-address", "307"),
        (Raw(b"", then="close"), "registry-unreachable", "registry-unreachable"),
        (Raw(b"HTTP/1.1 200 OK\r\n", drip=b"X: y\r\n"), "deadline", "deadline"),
    ],
)
def test_whatever_a_registry_does_is_a_finding_with_its_remedy(
    registry: Hostile,
    answer: Reply | Raw,
    reason: str,
    outcome: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.on(MANIFEST, answer)
    code, printed = check(capsys, "--plain-http", "--timeout", "1", f"{registry.host}/team/config:v1")
    assert code == 1
    assert f"finding      {reason}: " in printed
    assert next(line.split()[0] for line in printed.splitlines() if " bytes  " in line) == outcome
    assert "ok: " not in printed


def test_the_signed_query_of_a_redirect_is_not_printed(
    registry: Hostile, public: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.on(MANIFEST, redirect(f"https://{public.host}/blob?signature=s3cr3t"))
    _, printed = check(capsys, "--plain-http", f"{registry.host}/team/config:v1")
    assert "s3cr3t" not in printed


def test_what_cannot_be_read_besides_the_manifest_is_a_finding(
    signed: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    signed.store.delete_blob("team/config", _payload(signed))
    code, printed = check(capsys, "--plain-http", signed.image)
    assert code == 1
    assert "finding      registry-error: " in printed
    assert f"manifest     {signed.digest}" in printed


def _payload(signed: Signed) -> Digest:
    found = signed.store.manifest("team/config", f"{signed.digest.tag}.sig")
    assert found is not None
    return Digest.parse(json.loads(found[0])["layers"][0]["digest"])


def test_in_gates_own_pod_a_host_counts_as_named_only_where_the_webhook_has_it_named(
    signed: Signed, settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mount = settings / "serviceaccount"
    mount.mkdir()
    (mount / "namespace").write_text("oci-webhook")
    (settings / "cosign.pub").write_bytes(Signer.generate().public_pem)
    monkeypatch.setattr(places, "SERVICE_ACCOUNT", mount)
    monkeypatch.setenv("GATE_AUTH", "anonymous")
    monkeypatch.setenv("GATE_KEY", str(settings / "cosign.pub"))
    code, printed = check(capsys, signed.image)
    assert code == 1
    assert "named by nobody, so asked at public addresses alone" in printed
    assert "finding      registry-address: " in printed
    (settings / "registries.yaml").write_text(f'- host: "{signed.host}"\n  plainHTTP: true\n')
    code, printed = check(capsys, "--registries", str(settings / "registries.yaml"), signed.image)
    assert code == 0
    assert "listed in GATE_REGISTRIES" in printed


def test_a_setting_that_is_wrong_is_misuse(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "check", "--registries", "gone.yaml", signed.image]) == 2
    assert capsys.readouterr().err.startswith('gate registry: the registries file "gone.yaml" cannot be read')
