"""Pushing small configuration images over the registry API, and resolving references as Config Sync's oci-sync does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from typing import Any

import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"  # what oci-sync unpacks
TIMEOUT = 10  # seconds

Descriptor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of a registry that speaks plain HTTP on loopback."""

    host: str
    name: str

    def __str__(self) -> str:
        """Return ``host/name``, as references begin."""
        return f"{self.host}/{self.name}"

    def push(self, tag: str | None = None) -> str:
        """Push a new image, with content that never was before, and return its digest."""
        return str(self._push_image(tag or "")["digest"])

    def push_index(self, tag: str | None = None) -> tuple[str, str]:
        """Push an index of two new images and return its digest and that of the linux/amd64 child."""
        children = []
        for architecture in ("arm64", "amd64"):
            child = self._push_image("")
            children.append(child | {"platform": {"os": "linux", "architecture": architecture}})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
        return str(self._push_manifest(tag or "", INDEX, index)["digest"]), str(children[1]["digest"])

    def _push_image(self, tag: str) -> Descriptor:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._push_blob(CONFIG, json.dumps({"os": "linux", "architecture": "amd64"}).encode()),
            "layers": [self._push_blob(LAYER, bundle())],
        }
        return self._push_manifest(tag, MANIFEST, manifest)

    def _push_blob(self, media_type: str, content: bytes) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = _send("POST", f"http://{self.host}/v2/{self.name}/blobs/uploads/")
        place = requests.compat.urljoin(begun.url, begun.headers["Location"])
        mark = "&" if "?" in place else "?"
        _send("PUT", f"{place}{mark}digest={digest}", content, "application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _push_manifest(self, tag: str, media_type: str, manifest: Descriptor) -> Descriptor:
        content = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        _send("PUT", f"http://{self.host}/v2/{self.name}/manifests/{tag or digest}", content, media_type)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


def bundle() -> bytes:
    """Return a tar.gz with one ConfigMap whose content is new."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: e2e, namespace: default}\n"
    text += f"data: {{is: {os.urandom(8).hex()}}}\n"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("configmap.yaml")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(archive.getvalue())


def fetched_digest(image: str) -> str:
    """Return the digest that oci-sync reports for ``spec.oci.image``: of an index, the linux/amd64 child's."""
    host, _, rest = image.partition("/")
    name, _, pinned = rest.partition("@")
    name, _, tag = name.partition(":")
    document = _send(
        "GET", f"http://{host}/v2/{name}/manifests/{pinned or tag or 'latest'}", accept=f"{MANIFEST}, {INDEX}"
    )
    if document.headers["Content-Type"].partition(";")[0] == INDEX:
        platform = {"os": "linux", "architecture": "amd64"}
        return next(str(each["digest"]) for each in document.json()["manifests"] if each["platform"] == platform)
    return f"sha256:{hashlib.sha256(document.content).hexdigest()}"


def _send(method: str, url: str, content: bytes = b"", media_type: str = "", accept: str = "*/*") -> requests.Response:
    headers = {"Accept": accept} | ({"Content-Type": media_type} if media_type else {})
    response = requests.request(method, url, data=content, headers=headers, timeout=TIMEOUT)
    response.raise_for_status()
    return response
