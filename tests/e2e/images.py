"""Pushing small configuration images over the registry API, and resolving references as Config Sync's oci-sync does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"  # what oci-sync unpacks
TIMEOUT = 10  # seconds

Descriptor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is spoken to: plain HTTP unless an authority is given, with this Authorization."""

    authority: Path | None = None
    authorization: str | None = field(default=None, repr=False)

    def url(self, host: str, path: str) -> str:
        """Return the URL of ``path`` at ``host``."""
        return f"{'http' if self.authority is None else 'https'}://{host}{path}"

    def send(
        self, method: str, url: str, content: bytes = b"", media_type: str = "", accept: str = "*/*"
    ) -> requests.Response:
        """Send one request and return the answer, which carries it out."""
        headers = {"Accept": accept} | ({"Content-Type": media_type} if media_type else {})
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        verify = True if self.authority is None else str(self.authority)
        response = requests.request(method, url, data=content, headers=headers, verify=verify, timeout=TIMEOUT)
        response.raise_for_status()
        return response


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of a registry on loopback, plain HTTP unless ``access`` says otherwise."""

    host: str
    name: str
    access: Access = Access()

    def __str__(self) -> str:
        """Return ``host/name``, as references begin."""
        return f"{self.host}/{self.name}"

    def url(self, path: str) -> str:
        """Return the URL of ``path`` in the repository."""
        return self.access.url(self.host, f"/v2/{self.name}{path}")

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

    def copy_signature(self, signed: str, other: str) -> None:
        """Store the tag-based signature of one digest under the tag of another, as anyone can who may push."""
        self._push_manifest(_signature_tag(other), MANIFEST, self._manifest(_signature_tag(signed)))

    def copy_bundle(self, signed: str, other: str) -> None:
        """Store the one bundle that refers to a digest as one that refers to another, as anyone can who may push."""
        (listed,) = self.access.send("GET", self.url(f"/referrers/{signed}")).json()["manifests"]
        manifest = self._manifest(listed["digest"])
        size = len(self.access.send("GET", self.url(f"/manifests/{other}"), accept=MANIFEST).content)
        subject = {"mediaType": MANIFEST, "digest": other, "size": size}
        self._push_manifest("", MANIFEST, manifest | {"subject": subject})

    def _manifest(self, reference: str) -> Descriptor:
        document: Descriptor = self.access.send("GET", self.url(f"/manifests/{reference}"), accept=MANIFEST).json()
        return document

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
        begun = self.access.send("POST", self.url("/blobs/uploads/"))
        place = requests.compat.urljoin(begun.url, begun.headers["Location"])
        mark = "&" if "?" in place else "?"
        self.access.send("PUT", f"{place}{mark}digest={digest}", content, "application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _push_manifest(self, tag: str, media_type: str, manifest: Descriptor) -> Descriptor:
        content = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.access.send("PUT", self.url(f"/manifests/{tag or digest}"), content, media_type)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _signature_tag(digest: str) -> str:
    """Return the tag under which cosign stores signatures of ``digest``."""
    return digest.replace(":", "-") + ".sig"


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
    url = Repository(host, name).url(f"/manifests/{pinned or tag or 'latest'}")
    document = Access().send("GET", url, accept=f"{MANIFEST}, {INDEX}")
    if document.headers["Content-Type"].partition(";")[0] == INDEX:
        platform = {"os": "linux", "architecture": "amd64"}
        return next(str(each["digest"]) for each in document.json()["manifests"] if each["platform"] == platform)
    return f"sha256:{hashlib.sha256(document.content).hexdigest()}"
