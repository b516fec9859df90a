"""``gate policy test`` with a registry: what does not lie on disk is asked for where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gate import compose  # noqa: F401 (its sockets are made of real ones, which unit tests bar while they run)
from gate.cli import main
from gate.demo import layouts, registry
from gate.demo.signer import Signer
from gate.demo.store import Store

POLICY = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {{git: deny, helmHttp: deny, helmOci: deny}}
rules:
  - {{name: all, match: {{images: ["{host}/**"]}}, authorities: [{{name: a, key: {{file: cosign.pub}}}}]}}
"""
NOBODY = "127.0.0.1:1"  # a port that refuses connections


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry with a signed image, and a policy beside the cases."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GATE_AUTH", "anonymous")
    monkeypatch.chdir(tmp_path)
    store, signer = Store(), Signer.generate()
    config = store.push_blob("team/config", b"{}")
    described = {"mediaType": layouts.IMAGE_CONFIG, "digest": str(config), "size": 2}
    signer.sign_tag(store, "team/config", store.push_manifest("team/config", layouts.image(described, []), tag="v1"))
    (tmp_path / "cosign.pub").write_bytes(signer.public_pem)
    with registry.serve(store) as host:
        (tmp_path / "policy.yaml").write_text(POLICY.format(host=host))
        yield host


def case(folder: Path, name: str, image: str, expected: str) -> None:
    (folder / f"{name}.case.yaml").write_text(
        f"apiVersion: gate/v1\nkind: PolicyTest\npolicy: policy.yaml\nimage: {image}\nexpect: {expected}\n"
    )


def test_an_image_that_does_not_lie_on_disk_is_asked_of_its_registry(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case(tmp_path, "signed", f"{host}/team/config:v1", "{decision: allow, reason: verified}")
    case(tmp_path, "lost", f"{host}/team/config:v2", "{decision: deny, reason: not-found}")
    case(tmp_path, "other", "r.example/team/config:v2", "{decision: deny, reason: no-rule}")
    assert main(["policy", "test", ".", "--plain-http"]) == 0
    assert capsys.readouterr().out == "ok    lost.case.yaml\nok    other.case.yaml\nok    signed.case.yaml\n"


def test_without_the_options_that_a_registry_needs_the_case_fails(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case(tmp_path, "signed", f"{host}/team/config:v1", "{decision: allow, reason: verified}")
    assert main(["policy", "test", "."]) == 1
    assert "got deny registry-unreachable: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "code"), [("{decision: allow}", 1), ("{decision: allow, reason: failed-open}", 0)]
)
def test_what_an_outage_admits_passes_only_where_that_is_expected(
    expected: str, code: int, host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY.format(host=NOBODY).replace("name: all,", "name: all, onUnavailable: allow,")
    (tmp_path / "policy.yaml").write_text(policy)
    case(tmp_path, "down", f"{NOBODY}/team/config:v1", expected)
    assert main(["policy", "test", "."]) == code
    assert (": expected allow, got allow failed-open: " in capsys.readouterr().out) is (code == 1)
