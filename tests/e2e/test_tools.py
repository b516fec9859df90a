"""``make tools``: what is there is used, what is missing is built, and what cannot be had is said in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.toolbox import tool

SCRIPT = Path(__file__).parent / "tools" / "build.py"
ALL = (
    *("etcd", "olareg", "registry", "kube-apiserver", "kubectl", "cosign3", "cosign2"),
    *("fulcio", "rekor-server", "timestamp-server"),
)
SECONDS = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout that has the script and the tools' modules, and nothing else."""
    shutil.copytree(SCRIPT.parent, tmp_path / "tests" / "e2e" / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def make_tools(checkout: Path, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing on PATH but what lies in ``path``."""
    environ = {"PATH": str(path), "HOME": str(checkout), "XDG_CACHE_HOME": str(checkout / "cache"), **variables}
    argv = [sys.executable, str(checkout / "tests" / "e2e" / "tools" / "build.py")]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)


def program(path: Path, prints: str) -> Path:
    """Write a program that prints one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


def all_named(folder: Path) -> dict[str, str]:
    return {f"GATE_TOOL_{each.upper().replace('-', '_')}": str(program(folder / each, "")) for each in ALL}


def test_a_second_run_builds_nothing_and_takes_less_than_two_seconds() -> None:
    for each in ALL:
        tool(each)
    began = time.monotonic()
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 2


def test_a_missing_go_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    done = make_tools(checkout, tmp_path / "nothing")
    sentence = "make tools: etcd must be built and go is missing; install Go, or name one in GATE_TOOL_ETCD.\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_a_tool_that_the_environment_names_is_used(checkout: Path, tmp_path: Path) -> None:
    done = make_tools(checkout, tmp_path / "nothing", **all_named(tmp_path / "named"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (checkout / ".tools" / "bin" / "etcd").readlink() == tmp_path / "named" / "etcd"


def test_a_named_tool_that_is_not_there_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    done = make_tools(checkout, tmp_path / "nothing", GATE_TOOL_ETCD="/nowhere/etcd")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "GATE_TOOL_ETCD names /nowhere/etcd" in done.stderr


@pytest.mark.parametrize(("version", "used"), [("v1.30.0", True), ("v1.29.9", False), ("v2.0.0", False)])
def test_a_tool_on_path_is_used_where_its_version_is_right(
    version: str, *, used: bool, checkout: Path, tmp_path: Path
) -> None:
    program(tmp_path / "path" / "kubectl", f"Client Version: {version}")
    named = all_named(tmp_path / "named")
    del named["GATE_TOOL_KUBECTL"]
    done = make_tools(checkout, tmp_path / "path", **named)
    assert (done.returncode == 0) is used
    assert used or "kubectl must be built" in done.stderr


@pytest.mark.parametrize(
    ("title", "version", "used"),
    [
        ("Rekor signature transparency log server (POSIX)", "v2.3.0", True),
        ("Rekor signature transparency log server (POSIX)", "v2.2.9", False),
        ("Rekor signature transparency log server (GCP)", "v2.3.0", False),
        ("Rekor", "v1.5.3", False),
    ],
)
def test_a_log_of_another_kind_on_path_is_not_taken_for_the_one_on_files(
    title: str, version: str, *, used: bool, checkout: Path, tmp_path: Path
) -> None:
    program(tmp_path / "path" / "rekor-server", f"rekor-server: {title}\n\nGitVersion:    {version}")
    named = all_named(tmp_path / "named")
    del named["GATE_TOOL_REKOR_SERVER"]
    done = make_tools(checkout, tmp_path / "path", **named)
    assert (done.returncode == 0) is used
    assert used or "rekor-server must be built" in done.stderr


def test_a_link_that_was_made_before_is_not_taken_for_an_installed_tool(checkout: Path, tmp_path: Path) -> None:
    own = checkout / ".tools" / "bin"
    program(own / "kubectl", "Client Version: v1.33.4")
    named = all_named(tmp_path / "named")
    del named["GATE_TOOL_KUBECTL"]
    assert "kubectl must be built" in make_tools(checkout, own, **named).stderr


def test_a_program_of_the_suite_is_built_again_when_its_source_changes(checkout: Path, tmp_path: Path) -> None:
    go = program(tmp_path / "path" / "go", "")
    go.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n/bin/cp "$0" "$2"\n')
    named = all_named(tmp_path / "named")
    del named["GATE_TOOL_TIMESTAMP_SERVER"]
    built = set()
    for line in ("", "// changed\n", ""):
        source = checkout / "tests" / "e2e" / "tools" / "timestamp" / "main.go"
        source.write_text((SCRIPT.parent / "timestamp" / "main.go").read_text() + line)
        assert make_tools(checkout, go.parent, **named).returncode == 0
        built.add((checkout / ".tools" / "bin" / "timestamp-server").readlink())
    assert len(built) == 2


def test_a_build_that_fails_leaves_nothing_behind(checkout: Path, tmp_path: Path) -> None:
    go = tmp_path / "path" / "go"
    program(go, "building").write_text("#!/bin/sh\nexit 1\n")
    done = make_tools(checkout, go.parent)
    assert done.returncode == 1
    assert done.stderr.endswith("make tools: go could not build etcd; its own words are above.\n")
    (folder,) = (checkout / "cache" / "config-sync-gate" / "tools").iterdir()
    assert list(folder.iterdir()) == []
