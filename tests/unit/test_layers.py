"""The import contracts hold, and each of them is seen to fail when it is broken on purpose."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

# What each module is made to import, and how import-linter names the break. Of two modules that may not know one
# another each direction is a case of its own.
BREAKS: dict[str, tuple[str, ...]] = {
    "gate.core.quote": (
        *("gate.strictyaml", "gate.settings", "gate.registry.client", "gate.trust.policyfile", "gate.kube.api"),
        *("gate.service", "gate.fronts.webhook", "gate.server.app", "gate.demo.store", "gate.cli.verify"),
    ),
    "gate.core.limits": (
        *("flask", "gunicorn", "requests", "urllib3", "oras", "kubernetes", "google", "sigstore"),
        *("os", "time", "logging", "socket", "subprocess", "threading", "pathlib"),
    ),
    "gate.strictyaml": ("gate.fields", "gate.settings", "gate.trust.policyfile"),
    "gate.fields": ("gate.settings", "gate.trust.policyfile"),
    "gate.settings": ("gate.registry.client", "gate.trust.policyfile", "gate.kube.api", "gate.service"),
    "gate.registry.urls": ("gate.trust.policyfile", "gate.kube.api", "gate.service", "gate.demo.store"),
    "gate.trust.policyfile": ("gate.registry.client", "gate.kube.api", "gate.service", "gate.fronts.admission"),
    "gate.kube.api": ("gate.registry.client", "gate.trust.policyfile", "gate.service"),
    "gate.inquiry": ("gate.service", "gate.fronts.admission"),
    "gate.service": ("gate.fronts.admission", "gate.server.app", "gate.cli.verify"),
    "gate.fronts.admission": ("gate.server.app", "gate.demo.store", "gate.cli.verify", "tuf"),
    "gate.server.logs": ("gate.demo.store", "gate.cli.verify"),
    "gate.demo.store": ("gate.cli.verify", "sigstore"),
    "gate.cli.verify": ("gate.conformance",),
    "gate.conformance": ("gate.__main__", "sigstore"),
}

# Everything that the core may know; a list of what it may not know would have to name the whole standard library.
CORE_KNOWS = {
    *("__future__", "base64", "binascii", "collections", "dataclasses", "datetime", "enum", "hashlib", "json", "re"),
    *("contextlib", "typing", "unicodedata", "cryptography", "rfc3161_client", "rfc8785", "re2", "gate"),
}


def copy_to(directory: Path) -> Path:
    """Return a copy of the package and its configuration."""
    shutil.copytree(ROOT / "gate", directory / "gate", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


def source(root: Path, module: str) -> Path:
    return root.joinpath(*module.split(".")).with_suffix(".py")


def lint(root: Path) -> tuple[int, str]:
    """Return the exit code and the report of import-linter on the package in ``root``."""
    done = subprocess.run([LINT, "--no-cache"], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report on a copy in which every contract is broken."""
    root = copy_to(tmp_path_factory.mktemp("broken"))
    for module, imported in BREAKS.items():
        with source(root, module).open("a") as file:
            file.writelines(f"import {name}\n" for name in imported)
    code, report = lint(root)
    assert code != 0
    return report


def test_the_contracts_hold() -> None:
    code, report = lint(ROOT)
    assert code == 0, report
    assert " 0 broken" in report


@pytest.mark.parametrize(
    "contract",
    ["imports go one way", "the core is pure", "sigstore and tuf are imported nowhere but in their own modules"],
)
def test_a_contract_that_is_broken_on_purpose_fails(contract: str, broken: str) -> None:
    assert f"{contract} BROKEN" in broken


@pytest.mark.parametrize(("module", "imported"), [(module, name) for module, names in BREAKS.items() for name in names])
def test_an_import_against_the_layers_is_seen(module: str, imported: str, broken: str) -> None:
    assert source(ROOT, module).is_file()
    assert f"{module} -> {imported} (l." in broken


def test_one_front_may_not_import_another(tmp_path: Path) -> None:
    root = copy_to(tmp_path)
    with source(root, "gate.fronts.configsync").open("a") as file:
        file.write("import gate.fronts.webhook\n")
    code, report = lint(root)
    assert code != 0
    assert "the fronts are strangers to each other BROKEN" in report


def test_a_module_that_belongs_to_no_layer_is_not_overlooked(tmp_path: Path) -> None:
    root = copy_to(tmp_path)
    (root / "gate" / "newcomer.py").write_text('"""In no layer."""\n')
    code, report = lint(root)
    assert code != 0
    assert "gate.newcomer" in report


def imports(path: Path) -> set[str]:
    """Return the first part of every module that the file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize(
    "path", sorted((ROOT / "gate" / "core").rglob("*.py")), ids=lambda path: path.stem + path.parent.name
)
def test_the_core_imports_nothing_that_reads_writes_waits_or_tells_the_time(path: Path) -> None:
    assert imports(path) <= CORE_KNOWS
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called.isdisjoint({"open", "print", "input", "eval", "exec", "__import__"})
