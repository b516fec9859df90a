from __future__ import annotations

import gzip
import io
import tarfile

import yaml

from gate.demo import content


def unpack(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
        return {entry.name: (archive.extractfile(entry) or io.BytesIO()).read().decode() for entry in archive}


def test_a_bundle_holds_the_files_that_were_packed() -> None:
    assert unpack(content.pack(content.GOOD)) == content.GOOD


def test_the_same_files_give_the_same_bytes_in_any_order() -> None:
    assert content.pack(content.GOOD) == content.pack(dict(reversed(content.GOOD.items())))


def test_other_files_give_other_bytes() -> None:
    assert content.pack(content.GOOD) != content.pack(content.TAMPERED)


def test_every_file_is_a_kubernetes_object() -> None:
    for text in content.TAMPERED.values():
        manifest = yaml.load(text, yaml.SafeLoader)
        assert {"apiVersion", "kind", "metadata"} <= set(manifest)
