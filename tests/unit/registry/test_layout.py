"""OCI layouts on disk: what tools write is found, what is not there, not readable and not right are told apart."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.manifests import OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate, UntrustedSignature
from gate.demo import layouts
from gate.registry import layout as module
from gate.registry.discovery import Discovery
from gate.registry.layout import Layout, LayoutImage
from tests.fakes.disk import REPOSITORY, Disk
from tests.fakes.signing import signer

DEADLINE = Deadline.after(5, lambda: 0.0)
SIGNER = signer()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "bundle")


def evidence(disk: Disk, digest: Digest) -> Evidence:
    with ThreadPoolExecutor(4) as executor:
        return Discovery(Layout.open(disk.path), "whatever/it/is", digest, DEADLINE, executor).run()


def formats(found: Evidence) -> list[str]:
    assert found.unreadable == ()
    assert not any(isinstance(item, RefusedCandidate) for item in found.candidates)
    return sorted(item.format for item in found.candidates if isinstance(item, UntrustedSignature))


def unreadable(found: Evidence) -> set[Reason]:
    return {error.reason for error in found.unreadable}


def subject(disk: Disk, tag: str | None = None, digest: Digest | None = None) -> Digest | None:
    document = Layout.open(disk.path).subject(LayoutImage(disk.path, tag, digest))
    return None if document is None else document.digest


# Names

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("oci:bundle", LayoutImage(Path("bundle"))),
        ("oci:./bundle", LayoutImage(Path("bundle"))),
        ("oci:/var/lib/bundle:v1", LayoutImage(Path("/var/lib/bundle"), "v1")),
        ("oci:..", LayoutImage(Path(".."))),
        ("oci:a:b:v1.0_x-y", LayoutImage(Path("a:b"), "v1.0_x-y")),
        ("oci:a:b/c", LayoutImage(Path("a:b/c"))),
        ("oci:a:", LayoutImage(Path("a:"))),
        (f"oci:bundle@{DIGEST}", LayoutImage(Path("bundle"), None, DIGEST)),
    ],
)
def test_a_directory_a_tag_and_a_digest_are_told_apart(text: str, image: LayoutImage) -> None:
    assert LayoutImage.parse(text) == image


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("oci:", "names no directory"),
        ("oci::v1", "names no directory"),
        (f"oci:@{DIGEST}", "names no directory"),
        (f"oci:a:v1@{DIGEST}", "name one of them"),
        ("oci:a@sha256:beef", "is not a digest"),
        (f"oci:a@sha256:{'A' * 64}", "is not a digest"),
        ("oci://registry.example/acme/config", "without oci://"),
    ],
)
def test_a_name_that_can_be_no_image_is_malformed(text: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        LayoutImage.parse(text)


# What tools write


def test_what_oras_copies_is_found_by_its_subject(disk: Disk) -> None:
    digest = disk.image()
    disk.oras(digest, SIGNER)
    assert formats(evidence(disk, digest)) == ["bundle"]


def test_what_regctl_copies_is_found_by_both_tags(disk: Disk) -> None:
    digest = disk.image()
    disk.regctl(digest, SIGNER)
    assert formats(evidence(disk, digest)) == ["bundle", "simplesigning"]


def test_what_cosign_saves_is_found_without_a_tag(disk: Disk) -> None:
    digest = disk.image()
    disk.cosign2(digest, SIGNER)
    assert formats(evidence(disk, digest)) == ["simplesigning"]


def test_a_bundle_that_cosign_saves_is_found_although_nothing_lists_it(disk: Disk) -> None:
    digest = disk.image()
    disk.cosign3(digest, SIGNER)
    assert formats(evidence(disk, digest)) == ["bundle"]


def test_of_many_saved_images_each_has_the_signatures_of_its_own_name(disk: Disk) -> None:
    one, other = disk.image("one"), disk.image("other")
    disk.cosign2(one, SIGNER, "registry.example/acme/one:v1")
    disk.list(other, "registry.example/acme/other:v1", "dev.cosignproject.cosign/image")
    assert formats(evidence(disk, one)) == ["simplesigning"]
    assert evidence(disk, other) == Evidence()


def test_an_image_without_signatures_has_no_evidence_and_no_problems(disk: Disk) -> None:
    digest, other = disk.image(), disk.image("another")
    disk.list(digest, "v1")
    disk.oras(other, SIGNER, "v2")
    assert evidence(disk, digest) == Evidence()


# Which image


def test_a_tag_names_its_manifest(disk: Disk) -> None:
    one, other = disk.image("one"), disk.image("other")
    disk.list(one, "v1")
    disk.list(other, "v2")
    assert (subject(disk, "v1"), subject(disk, "v2"), subject(disk, "v3")) == (one, other, None)


def test_a_tag_is_found_in_a_whole_reference_where_no_entry_is_named_just_so(disk: Disk) -> None:
    one, other = disk.image("one"), disk.image("other")
    disk.list(one, "registry.example/acme/config:v1")
    assert subject(disk, "v1") == one
    disk.list(other, "v1")
    assert subject(disk, "v1") == other


def test_a_digest_names_what_lies_there(disk: Disk) -> None:
    digest = disk.image()
    assert subject(disk, digest=digest) == digest
    assert subject(disk, digest=DIGEST) is None


@pytest.mark.parametrize("write", [Disk.oras, Disk.regctl, Disk.cosign2, Disk.cosign3])
def test_without_a_tag_it_is_the_one_image_whatever_is_stored_about_it(disk: Disk, write: object) -> None:
    assert callable(write)
    digest = disk.image()
    write(disk, digest, SIGNER)
    assert subject(disk) == digest


def test_one_image_under_two_tags_is_one_image(disk: Disk) -> None:
    digest = disk.image()
    disk.list(digest, "v1")
    disk.list(digest, "latest")
    assert subject(disk) == digest


def test_of_several_images_none_is_chosen_and_their_tags_are_told(disk: Disk) -> None:
    disk.list(disk.image("one"), "v1")
    disk.list(disk.image("other"), "latest")
    with pytest.raises(ConfigError, match=r'holds 2 images: append :TAG or @DIGEST \("latest", "v1"\)'):
        subject(disk)


def test_of_several_images_without_tags_the_digests_are_told(disk: Disk) -> None:
    digests = [disk.image("one"), disk.image("other")]
    for digest in digests:
        disk.list(digest)
    with pytest.raises(ConfigError, match=str(digests[0])):
        subject(disk)


def test_an_empty_layout_has_no_image(disk: Disk) -> None:
    assert subject(disk) is None


def test_a_tag_that_two_manifests_have_names_neither(disk: Disk) -> None:
    disk.list(disk.image("one"), "v1")
    disk.list(disk.image("other"), "v1")
    with pytest.raises(MalformedError, match="to 2 manifests"):
        subject(disk, "v1")


# What is wrong


def test_a_directory_without_the_marker_is_no_layout(disk: Disk) -> None:
    (disk.path / "oci-layout").unlink()
    with pytest.raises(ConfigError, match="it has no file oci-layout"):
        Layout.open(disk.path)


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", "{}", '{"imageLayoutVersion": 1}', '{"imageLayoutVersion": "2.0.0"}']
)
def test_a_marker_of_another_version_is_malformed(disk: Disk, marker: str) -> None:
    (disk.path / "oci-layout").write_text(marker)
    with pytest.raises(MalformedError):
        Layout.open(disk.path)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"manifests": {}}', '{"manifests": [], "manifests": []}'])
def test_an_index_that_cannot_be_read_is_malformed(disk: Disk, index: str) -> None:
    (disk.path / "index.json").write_text(index)
    with pytest.raises(MalformedError):
        Layout.open(disk.path)


def test_a_layout_without_an_index_is_malformed(disk: Disk) -> None:
    (disk.path / "index.json").unlink()
    with pytest.raises(MalformedError, match=r"no index\.json"):
        Layout.open(disk.path)


def test_an_index_that_is_too_long_is_a_limit(disk: Disk) -> None:
    (disk.path / "index.json").write_bytes(b" " * (limits.MANIFEST_BYTES + 1))
    with pytest.raises(UnavailableError) as caught:
        Layout.open(disk.path)
    assert caught.value.reason is Reason.LIMIT


def test_an_index_that_is_a_link_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    (disk.path / "index.json").rename(tmp_path / "elsewhere")
    (disk.path / "index.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError) as caught:
        Layout.open(disk.path)
    assert caught.value.reason is Reason.LAYOUT_ERROR


def test_an_entry_of_another_kind_hides_no_other(disk: Disk) -> None:
    digest = disk.image()
    disk.entries.append({"mediaType": "x", "size": 1, "digest": "sha512:" + "0" * 128})
    disk.list(digest, "v1")
    assert subject(disk, "v1") == digest


def test_an_image_that_is_listed_and_not_there_is_not_taken_for_absent(disk: Disk) -> None:
    digest = disk.image()
    disk.list(digest, "v1")
    disk.file(digest).unlink()
    with pytest.raises(UnavailableError, match="lacks its bytes") as caught:
        subject(disk, "v1")
    assert caught.value.reason is Reason.LAYOUT_ERROR


@pytest.mark.parametrize("pinned", [False, True])
def test_an_image_with_other_bytes_is_refused(disk: Disk, pinned: bool) -> None:
    digest = disk.image()
    disk.list(digest, "v1")
    disk.file(digest).write_bytes(disk.file(disk.image("another")).read_bytes())
    with pytest.raises(UnavailableError, match="other bytes") as caught:
        subject(disk, None, digest) if pinned else subject(disk, "v1")
    assert caught.value.reason is Reason.LAYOUT_ERROR


def test_an_image_that_is_a_link_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    digest = disk.image()
    disk.list(digest, "v1")
    disk.file(digest).rename(tmp_path / "elsewhere")
    disk.file(digest).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError):
        subject(disk, "v1")


@pytest.mark.parametrize("damage", ["absent", "other", "link"])
@pytest.mark.parametrize("write", [Disk.regctl, Disk.cosign2])
def test_a_listed_signature_that_cannot_be_read_is_not_taken_for_absent(
    disk: Disk, tmp_path: Path, write: object, damage: str
) -> None:
    assert callable(write)
    digest = disk.image()
    write(disk, digest, SIGNER)
    listed = Digest.parse(str(disk.entries[-1]["digest"]))
    content = disk.file(listed).read_bytes()
    disk.file(listed).unlink()
    if damage == "other":
        disk.file(listed).write_bytes(content + b" ")
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        disk.file(listed).symlink_to(tmp_path / "elsewhere")
    assert unreadable(evidence(disk, digest)) == {Reason.LAYOUT_ERROR}


def test_a_signed_payload_that_is_missing_is_not_taken_for_absent(disk: Disk) -> None:
    digest = disk.image()
    disk.cosign2(digest, SIGNER)
    manifest = json.loads(disk.file(Digest.parse(str(disk.entries[-1]["digest"]))).read_bytes())
    disk.file(Digest.parse(manifest["layers"][0]["digest"])).unlink()
    assert unreadable(evidence(disk, digest)) == {Reason.LAYOUT_ERROR}


def test_a_referrer_with_other_bytes_under_its_name_is_not_taken_for_absent(disk: Disk) -> None:
    digest = disk.image()
    disk.cosign3(digest, SIGNER)
    (file,) = (each for each in disk.file(digest).parent.iterdir() if b'"subject"' in each.read_bytes())
    file.write_bytes(file.read_bytes() + b" ")
    assert unreadable(evidence(disk, digest)) == {Reason.LAYOUT_ERROR}


def test_blobs_that_are_no_manifests_are_passed_over(disk: Disk) -> None:
    digest = disk.image()
    disk.cosign3(digest, SIGNER)
    for data in (b"\x1f\x8b gzip", b"", b"{ no json", b"[1]", b'{"subject": 1}', b'{"subject": {"digest": "x"}}'):
        disk.blob(data)
    (disk.file(digest).parent / "README").write_text('{"subject": {}}')
    (disk.file(digest).parent / "below").mkdir()
    assert formats(evidence(disk, digest)) == ["bundle"]


def test_more_blobs_than_are_looked_through_are_a_limit(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = disk.image()
    monkeypatch.setattr(module, "BLOBS", 1)
    assert unreadable(evidence(disk, digest)) == {Reason.LIMIT}


def test_more_bytes_than_are_looked_through_are_a_limit(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = disk.image()
    monkeypatch.setattr(module, "SCANNED_BYTES", 10)
    assert unreadable(evidence(disk, digest)) == {Reason.LIMIT}


def test_what_could_be_no_manifest_by_its_size_is_not_looked_at(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = disk.image()
    monkeypatch.setattr(module, "SCANNED_BYTES", limits.MANIFEST_BYTES)
    disk.blob(b"{" + b" " * limits.MANIFEST_BYTES)
    assert evidence(disk, digest) == Evidence()


def test_looking_through_blobs_ends_with_the_deadline(disk: Disk) -> None:
    digest = disk.image()
    times = iter((0.0, 9.0))
    with pytest.raises(UnavailableError) as caught:
        Layout.open(disk.path).referrers_api(REPOSITORY, digest, Deadline.after(5, lambda: next(times)))
    assert (caught.value.reason, caught.value.outage) == (Reason.DEADLINE, False)


def test_a_blob_has_the_size_that_its_descriptor_says(disk: Disk) -> None:
    layout, digest = Layout.open(disk.path), disk.blob(b"data")
    assert layout.blob(REPOSITORY, Descriptor("x", digest, 4), 10, DEADLINE) == b"data"
    with pytest.raises(UnavailableError, match="another number of bytes"):
        layout.blob(REPOSITORY, Descriptor("x", digest, 5), 10, DEADLINE)
    with pytest.raises(UnavailableError, match="more than the 3"):
        layout.blob(REPOSITORY, Descriptor("x", digest, 4), 3, DEADLINE)


def test_a_blob_that_claims_to_be_too_long_is_not_read(disk: Disk) -> None:
    layout = Layout.open(disk.path)
    with pytest.raises(UnavailableError, match="11 bytes, more than the 10") as caught:
        layout.blob(REPOSITORY, Descriptor("x", DIGEST, 11), 10, DEADLINE)
    assert caught.value.reason is Reason.LIMIT


def test_a_manifest_that_is_longer_than_its_listing_says_is_refused(disk: Disk) -> None:
    layout, digest = Layout.open(disk.path), disk.image()
    with pytest.raises(UnavailableError) as caught:
        layout.manifest(REPOSITORY, digest, DEADLINE, limit=10)
    assert caught.value.reason is Reason.LIMIT


def test_a_fallback_tag_that_names_no_index_is_malformed(disk: Disk) -> None:
    digest = disk.image()
    disk.list(digest, digest.tag)
    with pytest.raises(MalformedError):
        Layout.open(disk.path).referrers_tag(REPOSITORY, digest, DEADLINE)


def test_the_type_that_the_index_gives_is_compared_with_the_content(disk: Disk) -> None:
    raw = layouts.index([])
    disk.blob(raw)
    disk.list(Digest.of(raw), "v1")
    document = Layout.open(disk.path).subject(LayoutImage(disk.path, "v1"))
    assert document is not None
    assert document.media_type == OCI_MANIFEST
