"""AdmissionReviews as an API server sends them, made from the few things that a test is about."""

from __future__ import annotations

import copy
import json
from typing import Any

IMAGE = "registry.example.com/team/config"
A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64

IMAGE_TO_SYNC = "configsync.gke.io/image-to-sync"
SOURCE_URL = "configsync.gke.io/source-url"
SOURCE_COMMIT = "configsync.gke.io/source-commit"

ROOT_RECONCILER = "system:serviceaccount:config-management-system:root-reconciler"
TEAM_RECONCILER = "system:serviceaccount:config-management-system:ns-reconciler-team-a"
RECONCILERS = {"RootSync": ROOT_RECONCILER, "RepoSync": TEAM_RECONCILER}
PLURALS = {"RootSync": "rootsyncs", "RepoSync": "reposyncs"}

Document = dict[str, Any]


def oci(image: str = f"{IMAGE}:v1", **fields: object) -> Document:
    return {"sourceType": "oci", "oci": {"auth": "none", "image": image, **fields}}


def git(repo: str = "https://git.example.com/config") -> Document:
    return {"sourceType": "git", "git": {"auth": "none", "repo": repo}}


def helm(repo: str, version: str = "1.2.3", chart: str = "app") -> Document:
    return {"sourceType": "helm", "helm": {"auth": "none", "chart": chart, "repo": repo, "version": version}}


def sync(
    spec: Document,
    annotations: Document | None = None,
    *,
    kind: str = "RootSync",
    version: str = "v1beta1",
    **metadata: object,
) -> Document:
    """A RootSync or RepoSync with its default name; ``annotations`` by full name."""
    where = {"RootSync": ("config-management-system", "root-sync"), "RepoSync": ("team-a", "repo-sync")}
    namespace, name = where.get(kind, ("team-a", "other"))
    meta: Document = {
        "name": name,
        "namespace": namespace,
        "uid": "3d9a8e4e-2f30-4a37-9d7f-1d1f3f1f0001",
        "generation": 1,
        "resourceVersion": "100",
        "managedFields": [{"manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:00Z"}],
        **metadata,
    }
    if annotations is not None:
        meta["annotations"] = annotations
    return {"apiVersion": f"configsync.gke.io/{version}", "kind": kind, "metadata": meta, "spec": spec}


def claim(value: str) -> Document:
    return {IMAGE_TO_SYNC: value}


def pair(url: str, digest_hex: str) -> Document:
    return {SOURCE_URL: url, SOURCE_COMMIT: digest_hex}


def review(
    new: Document | None,
    old: Document | None = None,
    *,
    operation: str | None = None,
    username: str = "jane@example.com",
    api_version: str = "admission.k8s.io/v1",
    **fields: object,
) -> Document:
    """The review of an UPDATE if there are two objects, of a CREATE or DELETE if there is one."""
    some = new or old or sync(git())
    group, _, version = some["apiVersion"].partition("/")
    kind, metadata = some["kind"], some.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": PLURALS.get(kind, "others")},
        "name": known.get("name", ""),
        "namespace": known.get("namespace", ""),
        "operation": operation or ("DELETE" if new is None else "CREATE" if old is None else "UPDATE"),
        "userInfo": {"username": username, "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions"},
        **fields,
    }
    return {"apiVersion": api_version, "kind": "AdmissionReview", "request": request}


def poll(held: Document, *, username: str | None = None, api_version: str = "admission.k8s.io/v1") -> Document:
    """The review of a reconciler's patch that changes nothing; its time in managedFields still does."""
    new = copy.deepcopy(held)
    new["metadata"]["managedFields"] = [{"manager": "configsync.gke.io", "time": "2026-01-01T00:00:15Z"}]
    return review(new, held, username=username or RECONCILERS[held["kind"]], api_version=api_version)


def encode(document: object) -> bytes:
    return json.dumps(document).encode()
