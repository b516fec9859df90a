"""Which format a manifest is of: by its own layers, never by what an index says of it."""

from __future__ import annotations

import pytest

from gate.core import formats
from gate.core.errors import MalformedError
from gate.core.formats.sigstorebundle import BUNDLE_TYPE
from gate.core.formats.simplesigning import LAYER_TYPE
from gate.core.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, UnreadableLayer
from gate.core.oci import Digest
from gate.demo import layouts

DIGEST = Digest.of(b"x")
CONFIG: dict[str, object] = {"mediaType": "application/x", "digest": str(DIGEST), "size": 1}


def manifest(layer_type: str, config_type: str = "application/x", artifact_type: str | None = None) -> Manifest:
    layer = Descriptor(layer_type, DIGEST, 1)
    return Manifest(DIGEST, "application/x", artifact_type, Descriptor(config_type, DIGEST, 1), (layer,), None)


@pytest.mark.parametrize(
    "config_type", ["application/vnd.oci.image.config.v1+json", "application/vnd.dev.cosign.artifact.sig.v1+json"]
)
@pytest.mark.parametrize("artifact_type", [None, "application/vnd.oci.empty.v1+json"])
@pytest.mark.parametrize(("layer_type", "name"), [(LAYER_TYPE, "simplesigning"), (BUNDLE_TYPE, "bundle")])
def test_the_layers_decide_whatever_config_and_artifact_type_say(
    layer_type: str, name: str, config_type: str, artifact_type: str | None
) -> None:
    form = formats.recognise(manifest(layer_type, config_type, artifact_type))
    assert form is not None
    assert form.name == name


def test_an_artifact_type_alone_makes_no_signature() -> None:
    assert formats.recognise(manifest("application/octet-stream", BUNDLE_TYPE, BUNDLE_TYPE)) is None


def test_an_attestation_layer_of_the_old_kind_is_no_candidate() -> None:
    assert formats.recognise(manifest("application/vnd.dsse.envelope.v1+json")) is None


@pytest.mark.parametrize("layer_type", [LAYER_TYPE, BUNDLE_TYPE])
def test_the_layers_of_a_signature_that_cannot_be_read_are_left_to_its_format(layer_type: str) -> None:
    found = formats.parse_candidate(layouts.image(CONFIG, [CONFIG | {"mediaType": layer_type, "size": -1}]))
    assert isinstance(found, Manifest)
    assert [type(layer) for layer in found.all_layers] == [UnreadableLayer]


@pytest.mark.parametrize("content_type", [OCI_INDEX, DOCKER_MANIFEST])
def test_a_candidate_that_is_not_what_the_registry_says_is_refused(content_type: str) -> None:
    raw = layouts.image(CONFIG, [CONFIG | {"mediaType": LAYER_TYPE}])
    assert formats.parse_candidate(raw, OCI_MANIFEST) == formats.parse_candidate(raw)
    with pytest.raises(MalformedError, match="media type"):
        formats.parse_candidate(raw, content_type)


@pytest.mark.parametrize("layer", [CONFIG | {"size": -1}, {"size": 1}])
def test_a_layer_of_what_no_format_recognises_must_be_read(layer: dict[str, object]) -> None:
    with pytest.raises(MalformedError, match="a layer of the manifest"):
        formats.parse_candidate(layouts.image(CONFIG, [CONFIG, layer]))
