"""Manifests as ``kubectl kustomize`` renders them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
SERVER = "signature-verification-server"  # the name of the Deployment, its container, its label and its image

_TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin"
_LOWEST = (1, 30)  # the first kubectl with a kustomize (5.0.4) whose components and patches are those used here
_SECONDS = 60  # a rendering takes well under one

Manifest = dict[str, Any]


def render(folder: Path) -> tuple[Manifest, ...]:
    """Return what ``kubectl kustomize`` makes of a folder; without kubectl skip the test, or fail it in CI."""
    command = [str(_kubectl()), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(folder: Path, components: Sequence[str], **fields: object) -> tuple[Manifest, ...]:
    """Return what an overlay written into ``folder`` renders: the base, these components, and other fields."""
    # Kustomize wants relative paths, and follows no symbolic link out of a root.
    root = Path(os.path.relpath(MANIFESTS, folder.resolve()))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(root)],
        "components": [str(root / "components" / name) for name in components],
        **fields,
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
    return render(folder)


def one(objects: Sequence[Manifest], kind: str) -> Manifest:
    """Return the only object of a kind."""
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def pod_of(objects: Sequence[Manifest]) -> Manifest:
    """Return the specification of the Deployment's Pods."""
    return dict(one(objects, "Deployment")["spec"]["template"]["spec"])


def container_of(pod: Manifest) -> Manifest:
    """Return the only container of a Pod."""
    (found,) = pod["containers"]
    return dict(found)


def volume_at(pod: Manifest, path: Path) -> Manifest:
    """Return the volume that holds ``path`` in the container."""
    mounts = {mount["mountPath"]: mount for mount in container_of(pod)["volumeMounts"]}
    mount = next(mounts[str(each)] for each in (path, *path.parents) if str(each) in mounts)
    assert "subPath" not in mount
    return dict(next(volume for volume in pod["volumes"] if volume["name"] == mount["name"]))


@cache
def _kubectl() -> Path:
    """Return a kubectl that is new enough; where there is none, skip, or fail in CI."""
    found = next((each for each in _candidates() if _version(each) >= _LOWEST), None)
    if found is None:
        _absent("kubectl 1.30 or later is needed: run `make tools`, or name one in GATE_TOOL_KUBECTL")
    return found


def _candidates() -> Iterator[Path]:
    named = os.environ.get("GATE_TOOL_KUBECTL")
    if named:
        yield Path(named)
        return
    if (_TOOLS / "kubectl").exists():
        yield _TOOLS / "kubectl"
    found = shutil.which("kubectl")
    if found:
        yield Path(found)


def _version(kubectl: Path) -> tuple[int, ...]:
    command = [str(kubectl), "version", "--client"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    found = re.search(r"Client Version: v(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else ()


def _absent(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
