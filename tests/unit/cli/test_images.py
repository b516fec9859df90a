"""Images on disk at the command line: what they are held to, and that nobody is asked about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.cli import main
from tests.fakes.disk import Disk
from tests.fakes.signing import signer

POLICY = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: deny, helmHttp: deny, helmOci: deny}
rules:
  - {name: platform, match: {images: [r.example/acme/platform]}, authorities: [{name: a, key: {file: cosign.pub}}]}
  - {name: open, match: {images: [r.example/open]}, static: pass}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cosign.pub").write_bytes(signer().public_pem)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def bundle(folder: Path) -> Disk:
    disk = Disk(folder / "bundle")
    disk.oras(disk.image(), signer())
    return disk


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = main(["verify", "-o", "json", *words])
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, json.loads(printed.out)


def misuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["verify", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_signed_image_on_disk_is_verified_by_a_key(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = verify(capsys, "--key", str(folder / "cosign.pub"), f"oci:{bundle.path}:v1")
    assert (code, printed["verdict"], printed["reference"]) == (0, "verified", f"oci:{bundle.path}:v1")
    assert printed["digest"] == bundle.entries[0]["digest"]


def test_an_image_on_disk_that_nobody_signed_is_denied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk(folder / "unsigned")
    disk.list(disk.image(), "v1")
    code, printed = verify(capsys, "--key", str(folder / "cosign.pub"), f"oci:{disk.path}")
    assert (code, printed["reason"]) == (1, "no-signature")


def test_the_same_name_for_two_layouts_does_not_mix_what_they_hold(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    unsigned = Disk(folder / "unsigned")
    unsigned.list(unsigned.image(), "v1")  # the same image
    words = ["--policy", str(folder / "policy.yaml"), "--as", "r.example/acme/platform", "-o", "json"]
    assert main(["verify", *words, f"oci:{bundle.path}", f"oci:{unsigned.path}"]) == 1
    verdicts = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["verified", "denied"]


def test_a_policy_is_matched_by_the_name_that_the_user_gives(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = ["--policy", str(folder / "policy.yaml"), f"oci:{bundle.path}"]
    assert verify(capsys, *policy, "--as", "r.example/acme/platform")[0] == 0
    code, printed = verify(capsys, *policy, "--as", "r.example/acme/other")
    assert (code, printed["reason"]) == (1, "no-rule")


def test_what_a_layout_says_of_its_name_chooses_no_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk(folder / "liar")
    name = {"annotations": {"org.opencontainers.image.ref.name": "v1", "io.containerd.image.name": "r.example/open:v1"}}
    disk.list(disk.image(), "r.example/open:v1", **name)
    said = misuse(capsys, "--policy", str(folder / "policy.yaml"), f"oci:{disk.path}")
    assert "say which image this is: --as REGISTRY/REPOSITORY" in said


def test_the_policy_of_the_environment_needs_a_name_too(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_POLICY", str(folder / "policy.yaml"))
    assert "--as" in misuse(capsys, f"oci:{bundle.path}")


@pytest.mark.parametrize("name", ["r.example/a:v1", "r.example/a@sha256:" + "0" * 64, "UPPER", ""])
def test_a_name_is_a_repository_alone(
    name: str, folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    said = misuse(capsys, "--key", str(folder / "cosign.pub"), "--as", name, f"oci:{bundle.path}")
    assert "--as" in said


def test_a_name_without_an_image_on_disk_is_misuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(folder / "cosign.pub")
    assert "none is given as oci:DIR" in misuse(capsys, "--key", key, "--as", "r.example/a", "r.example/a")


@pytest.mark.parametrize("image", ["oci:", "oci:gone", "oci:.", "oci://r.example/chart"])
def test_what_is_no_layout_is_misuse(
    image: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert misuse(capsys, "--key", "cosign.pub", image).startswith("gate verify: ")


def test_a_tag_that_the_layout_lacks_is_not_found_and_its_tags_are_told(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = verify(capsys, "--key", str(folder / "cosign.pub"), f"oci:{bundle.path}:v2")
    assert (code, printed["reason"]) == (1, "not-found")
    assert str(printed["message"]).endswith('holds no "v2"; it has "v1"')


def test_a_malformed_layout_is_denied_and_an_unreadable_one_could_not_be_told(
    folder: Path, bundle: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--key", str(folder / "cosign.pub"), f"oci:{bundle.path}")
    (bundle.path / "blobs").rename(bundle.path / "gone")
    code, printed = verify(capsys, *asked)
    assert (code, printed["verdict"], printed["reason"]) == (2, "unavailable", "layout-error")
    (bundle.path / "index.json").write_text("{")
    code, printed = verify(capsys, *asked)
    assert (code, printed["verdict"], printed["reason"]) == (1, "denied", "malformed")


def test_names_in_a_layout_cannot_write_on_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk(folder / "bundle")
    disk.list(disk.image(), "\x1b[2J")
    main(["verify", "--key", str(folder / "cosign.pub"), f"oci:{disk.path}:v1"])
    assert "\x1b" not in capsys.readouterr().out


def test_a_registry_is_not_checked_on_disk(bundle: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "check", f"oci:{bundle.path}"]) == 2
    assert "is on disk, where there is no registry to check" in capsys.readouterr().err
