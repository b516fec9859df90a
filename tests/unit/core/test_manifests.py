"""Manifests, indexes and descriptors out of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core import strictjson
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    UnreadableLayer,
    listed_manifests,
    parse_manifest,
    parse_manifest_by_layer,
)
from gate.core.oci import Digest
from gate.core.reasons import Reason

DIGEST = str(Digest.of(b"x"))
CONFIG: dict[str, strictjson.Json] = {"mediaType": "application/x", "digest": DIGEST, "size": 1}
IMAGE: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [CONFIG]}
INDEX: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [CONFIG]}

values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.just(CONFIG)
    | st.lists(st.just(CONFIG), max_size=2)
)
names = st.sampled_from(
    ["mediaType", "config", "layers", "manifests", "subject", "annotations", "artifactType", "digest", "size"]
)
objects = st.dictionaries(names, values | st.dictionaries(names, values, max_size=4), max_size=8)
types = st.none() | st.sampled_from([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX, "text/html"])


def raw(fields: dict[str, object], **changes: object) -> bytes:
    """Return the document with members replaced; None leaves one out."""
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not None}).encode()


def image(**changes: object) -> Manifest:
    found = parse_manifest(raw(IMAGE, **changes))
    assert isinstance(found, Manifest)
    return found


@given(
    st.binary(max_size=100)
    | objects.map(lambda fields: json.dumps(IMAGE | fields).encode())
    | objects.map(lambda fields: json.dumps(fields).encode()),
    types,
)
def test_no_bytes_raise_anything_but_malformed_error(data: bytes, content_type: str | None) -> None:
    try:
        found = parse_manifest(data, content_type)
    except MalformedError as error:
        assert len(error.message.splitlines()) == 1
    else:
        assert found.digest == Digest.of(data)


def by_layer(*layers: object) -> Manifest:
    found = parse_manifest_by_layer(raw(IMAGE, layers=list(layers)))
    assert isinstance(found, Manifest)
    return found


TOO_LARGE = CONFIG | {"annotations": {"x": "y" * (256 * 1024)}}
UNREADABLE: list[tuple[object, UnreadableLayer]] = [
    (1, UnreadableLayer(None, Reason.MALFORMED, "a layer of the manifest is not an object")),
    ("x", UnreadableLayer(None, Reason.MALFORMED, "a layer of the manifest is not an object")),
    ({}, UnreadableLayer(None, Reason.MALFORMED, "the size of a layer of the manifest is not an integer")),
    (
        CONFIG | {"mediaType": 1},
        UnreadableLayer(None, Reason.MALFORMED, "the mediaType of a layer of the manifest is not a string"),
    ),
    (
        CONFIG | {"size": -1},
        UnreadableLayer("application/x", Reason.MALFORMED, "the size of a layer of the manifest is out of range"),
    ),
    (
        CONFIG | {"digest": "sha512:00"},
        UnreadableLayer(
            "application/x", Reason.MALFORMED, '"sha512:00" is not a digest of the form sha256:<64 hex digits>'
        ),
    ),
    (
        CONFIG | {"annotations": {"a": 1}},
        UnreadableLayer("application/x", Reason.MALFORMED, "an annotation of a layer of the manifest is not a string"),
    ),
    (
        TOO_LARGE,
        UnreadableLayer(
            "application/x", Reason.LIMIT, "the annotations of a layer of the manifest are larger than 262144 bytes"
        ),
    ),
]


@pytest.mark.parametrize(("layer", "unreadable"), UNREADABLE)
def test_a_layer_that_cannot_be_read_keeps_its_place_among_those_that_can(
    layer: object, unreadable: UnreadableLayer
) -> None:
    found = by_layer(CONFIG, layer, CONFIG)
    readable = Descriptor("application/x", Digest.of(b"x"), 1)
    assert found.all_layers == (readable, unreadable, readable)
    assert found.layers == (readable, readable)


@pytest.mark.parametrize(("layer", "unreadable"), UNREADABLE)
def test_of_an_image_every_layer_must_be_read_and_the_first_that_cannot_is_told(
    layer: object, unreadable: UnreadableLayer
) -> None:
    with pytest.raises((MalformedError, UnavailableError)) as caught:
        image(layers=[CONFIG, layer, *[{"mediaType": []}] * 65])
    assert isinstance(caught.value, MalformedError | UnavailableError)
    assert (caught.value.reason, caught.value.message) == (unreadable.reason, unreadable.message)


def test_what_comes_after_64_unreadable_layers_is_not_looked_at() -> None:
    assert [type(layer) for layer in by_layer(CONFIG, *[1] * 63, CONFIG).all_layers[-2:]] == [
        UnreadableLayer,
        Descriptor,
    ]
    assert len(by_layer(*[1] * 64).all_layers) == 64
    over = by_layer(CONFIG, *[1] * 64, CONFIG, CONFIG)
    assert len(over.all_layers) == 1 + 64 + 1
    assert over.all_layers[-1] == UnreadableLayer(
        None, Reason.LIMIT, "64 layers of the manifest cannot be read, and what follows them is not looked at"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"size": -1}},
        {"layers": {}},
        {"subject": []},
        {"mediaType": OCI_INDEX},
        {"artifactType": 1},
        {"annotations": {"a": 1}},
        {"manifests": []},
    ],
)
def test_what_is_wrong_with_the_manifest_itself_is_no_matter_of_a_layer(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        parse_manifest_by_layer(raw(IMAGE, **changes))


def test_a_layer_that_names_a_member_twice_makes_the_whole_document_malformed() -> None:
    with pytest.raises(MalformedError, match="the document names a member of an object twice"):
        parse_manifest_by_layer(raw(IMAGE).replace(b'"layers": [{', b'"layers": [{"size": 1, '))


def test_a_manifest_is_named_by_the_digest_of_its_own_bytes() -> None:
    spaced = raw(IMAGE) + b"\n"
    assert parse_manifest(spaced).digest == Digest.of(spaced)
    assert parse_manifest(raw(INDEX) + b" ").digest == Digest.of(raw(INDEX) + b" ")


def test_every_member_that_is_read_is_kept() -> None:
    layer = CONFIG | {"annotations": {"k": "v"}, "artifactType": "application/a", "urls": ["ignored"]}
    found = image(layers=[layer], subject=CONFIG, annotations={"a": "b"}, artifactType="application/t")
    descriptor = Descriptor("application/x", Digest.of(b"x"), 1)
    assert found == Manifest(
        found.digest,
        OCI_MANIFEST,
        "application/t",
        descriptor,
        (Descriptor("application/x", Digest.of(b"x"), 1, (("k", "v"),), "application/a"),),
        descriptor,
        (("a", "b"),),
    )
    index = parse_manifest(raw(INDEX, annotations={"a": "b"}))
    assert index == Index(index.digest, OCI_INDEX, (replace(descriptor, platform="linux/amd64"),), (("a", "b"),))


def test_an_annotation_that_is_absent_is_none() -> None:
    descriptor = Descriptor.parse(CONFIG | {"annotations": {"k": ""}}, "it")
    assert descriptor.annotation("k") == ""
    assert descriptor.annotation("K") is None


@pytest.mark.parametrize(
    ("fields", "content_type", "expected"),
    [
        (IMAGE, None, OCI_MANIFEST),
        (IMAGE, OCI_MANIFEST, OCI_MANIFEST),
        (IMAGE, "application/json", OCI_MANIFEST),
        (IMAGE | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (IMAGE | {"mediaType": None}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (IMAGE | {"mediaType": None}, None, OCI_MANIFEST),
        (INDEX, OCI_INDEX, OCI_INDEX),
        (INDEX | {"mediaType": DOCKER_INDEX}, None, DOCKER_INDEX),
        (INDEX | {"mediaType": None}, DOCKER_INDEX, DOCKER_INDEX),
        (INDEX | {"mediaType": None}, "text/plain", OCI_INDEX),
    ],
)
def test_the_media_type_is_the_documents_own_else_the_registrys(
    fields: dict[str, object], content_type: str | None, expected: str
) -> None:
    assert parse_manifest(raw(fields), content_type).media_type == expected


@pytest.mark.parametrize(
    ("fields", "content_type", "message"),
    [
        (IMAGE | INDEX, None, "the manifest is an index and an image at once"),
        (INDEX | {"layers": []}, None, "the manifest is an index and an image at once"),
        (INDEX | {"config": CONFIG}, None, "the manifest is an index and an image at once"),
        (
            IMAGE | {"mediaType": OCI_INDEX},
            None,
            f'the manifest\'s content is not what its media type "{OCI_INDEX}" says',
        ),
        (
            INDEX | {"mediaType": OCI_MANIFEST},
            None,
            f'the manifest\'s content is not what its media type "{OCI_MANIFEST}" says',
        ),
        (IMAGE | {"mediaType": "text/x"}, None, 'the manifest\'s content is not what its media type "text/x" says'),
        (IMAGE, OCI_INDEX, f'the manifest\'s content is not what its media type "{OCI_INDEX}" says'),
        (
            IMAGE | {"mediaType": None},
            DOCKER_INDEX,
            f'the manifest\'s content is not what its media type "{DOCKER_INDEX}" says',
        ),
        (
            INDEX | {"mediaType": None},
            OCI_MANIFEST,
            f'the manifest\'s content is not what its media type "{OCI_MANIFEST}" says',
        ),
        (IMAGE, DOCKER_MANIFEST, "the manifest's media type is not the one that the registry names"),
        (INDEX, DOCKER_INDEX, "the manifest's media type is not the one that the registry names"),
    ],
)
def test_a_document_that_says_two_things_of_itself_is_refused(
    fields: dict[str, object], content_type: str | None, message: str
) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_manifest(raw(fields), content_type)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", "the document is not an object"),
        (b'{"config": 1, "config": 2}', "the document names a member of an object twice"),
        (raw({}), "the manifest's config is not an object"),
        (raw(IMAGE, config=None), "the manifest's config is not an object"),
        (raw(IMAGE, layers=None), "the manifest's layers is not an array"),
        (raw(IMAGE, layers={}), "the manifest's layers is not an array"),
        (raw(IMAGE, layers=["x"]), "a layer of the manifest is not an object"),
        (raw(IMAGE, subject=[]), "the manifest's subject is not an object"),
        (raw(IMAGE, mediaType=1), "the manifest's mediaType is not a string"),
        (raw(IMAGE, artifactType=1), "the manifest's artifactType is not a string"),
        (raw(IMAGE, annotations=[]), "the annotations of the manifest is not an object"),
        (raw(IMAGE, annotations={"a": 1}), "an annotation of the manifest is not a string"),
        (raw(INDEX, manifests={}), "the index's manifests is not an array"),
        (b'{"manifests": 1}', "the index's manifests is not an array"),
        (raw(INDEX, manifests=[1]), "a manifest of the index is not an object"),
        (raw(INDEX, annotations="x"), "the annotations of the index is not an object"),
    ],
)
def test_a_document_with_the_wrong_types_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_manifest(data)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": -1}, "the size of it is out of range"),
        ({"size": 2**63}, "the size of it is out of range"),
        ({"size": "1"}, "the size of it is not an integer"),
        ({"size": True}, "the size of it is not an integer"),
        ({"size": 1.0}, "the size of it is not an integer"),
        ({"size": None}, "the size of it is not an integer"),
        ({"mediaType": None}, "the mediaType of it is not a string"),
        ({"digest": None}, "the digest of it is not a string"),
        ({"digest": "sha512:" + "0" * 128}, "is not a digest of the form sha256:<64 hex digits>"),
        ({"annotations": 1}, "the annotations of it is not an object"),
        ({"annotations": {"a": None}}, "an annotation of it is not a string"),
        ({"artifactType": []}, "the artifactType of it is not a string"),
    ],
)
def test_a_descriptor_with_a_wrong_member_is_refused(change: dict[str, object], message: str) -> None:
    value = json.loads(raw({**CONFIG}, **change))
    with pytest.raises(MalformedError) as caught:
        Descriptor.parse(value, "it")
    assert caught.value.message.endswith(message)


def test_sizes_from_zero_to_the_largest_int64_are_read() -> None:
    assert Descriptor.parse(CONFIG | {"size": 0}, "it").size == 0
    assert Descriptor.parse(CONFIG | {"size": 2**63 - 1}, "it").size == 2**63 - 1


def test_a_list_that_is_null_is_empty_because_go_writes_it_so() -> None:
    assert listed_manifests({"manifests": None}) == ()
    found = parse_manifest(b'{"manifests": null}')
    assert isinstance(found, Index)
    assert found.manifests == ()


def test_a_list_that_is_not_there_is_not_an_empty_list() -> None:
    # An error document with status 200 is no answer to "which referrers are there".
    with pytest.raises(MalformedError, match="the index has no manifests"):
        listed_manifests({"errors": []})


def _index(entries: int) -> bytes:
    return raw(INDEX, manifests=[CONFIG] * entries)


def test_an_index_of_256_entries_is_the_longest() -> None:
    found = parse_manifest(_index(256))
    assert isinstance(found, Index)
    assert len(found.manifests) == 256
    with pytest.raises(UnavailableError, match="an index lists 257 manifests, more than 256") as caught:
        parse_manifest(_index(257))
    assert caught.value.reason is Reason.LIMIT
    assert not caught.value.outage


def _annotated(size: int) -> dict[str, object]:
    annotations = {"\u00e9": "v" * (size - 2)}
    return {**CONFIG, "annotations": annotations}


@pytest.mark.parametrize(
    "place", [lambda d: raw(IMAGE, layers=[d]), lambda d: raw(INDEX, manifests=[d])], ids=["layer", "index"]
)
def test_annotations_of_256_kib_are_the_largest_in_bytes_of_utf_8(place: Callable[[dict[str, object]], bytes]) -> None:
    parse_manifest(place(_annotated(256 * 1024)))
    with pytest.raises(UnavailableError, match="are larger than 262144 bytes") as caught:
        parse_manifest(place(_annotated(256 * 1024 + 1)))
    assert (caught.value.reason, caught.value.outage) == (Reason.LIMIT, False)


def test_a_manifest_of_4_mib_is_the_largest() -> None:
    document = raw(IMAGE)
    padded = document + b" " * (4 * 1024 * 1024 - len(document))
    assert isinstance(parse_manifest(padded), Manifest)
    with pytest.raises(MalformedError, match="more than 4194304"):
        parse_manifest(padded + b" ")
