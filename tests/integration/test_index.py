"""A multi-platform image and a chart over HTTP: ``gate verify`` and ``gate review`` say the same of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gate import compose
from gate.cli import main
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, HelmOciChoice
from gate.core.subjects import Claimed
from gate.demo import layouts
from gate.demo.registry import serve
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.fronts.review import Record, Reviewer
from gate.settings import from_environment
from tests.fakes.reviews import Document, claim, encode, helm, oci, poll, review, sync

NAME = "acme/config"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "verify.schema.json").read_text())
SIGNER = Signer.generate()


@dataclass(frozen=True)
class Scene:
    """A registry with an index of two images under v1, and a place for files."""

    store: Store
    host: str
    folder: Path
    index: Digest
    child: Digest
    capsys: pytest.CaptureFixture[str]

    @property
    def image(self) -> str:
        return f"{self.host}/{NAME}"

    @property
    def key(self) -> str:
        path = self.folder / "cosign.pub"
        path.write_bytes(SIGNER.public_pem)
        return str(path)

    def verify(self, image: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code of gate verify and what it printed."""
        code = main(["verify", "--plain-http", "--key", self.key, "-o", "json", image])
        answer = json.loads(self.capsys.readouterr().out)
        jsonschema.validate(answer, SCHEMA)
        return code, answer

    def review(self, document: Document) -> tuple[bool, str]:
        """Return whether gate review admits the review, and its message."""
        (self.folder / "review.json").write_bytes(encode(document))
        (self.folder / "registries.yaml").write_text(f"[{{host: '{self.host}', plainHTTP: true, allowPrivate: true}}]")
        named = ["--registries", str(self.folder / "registries.yaml"), "--key", self.key]
        assert main(["review", *named, str(self.folder / "review.json")]) == 0
        response = json.loads(self.capsys.readouterr().out)["response"]
        return response["allowed"], response.get("status", {}).get("message", "")


def push_index(store: Store) -> tuple[Digest, Digest]:
    """Push an index of two images under v1 and return its digest and that of its image for linux/amd64."""
    entries = []
    config: layouts.Fields = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
    for architecture in ("arm64", "amd64"):
        raw = layouts.image(config, [], annotations={"for": architecture})
        child = store.push_manifest(NAME, raw)
        platform = {"os": "linux", "architecture": architecture}
        entries.append(layouts.descriptor_fields(Descriptor(OCI_MANIFEST, child, len(raw))) | {"platform": platform})
    return store.push_manifest(NAME, layouts.index(entries), OCI_INDEX, tag="v1"), child


@pytest.fixture(params=[True, False], ids=["referrers API", "fallback tag"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    store = Store(referrers_api=request.param)
    index, child = push_index(store)
    with serve(store) as host:
        yield Scene(store, host, tmp_path, index, child, capsys)


@pytest.mark.parametrize("layout", ["sign_tag", "sign_bundle", "sign_referrer"])
@pytest.mark.parametrize("signed", ["index", "child", "nothing"])
def test_a_signature_of_the_index_or_of_its_child_is_enough_wherever_gate_is_asked(
    scene: Scene, layout: str, signed: str
) -> None:
    if signed != "nothing":
        getattr(SIGNER, layout)(scene.store, NAME, scene.index if signed == "index" else scene.child)
    admitted, tag, pin = signed != "nothing", f"{scene.image}:v1", f"{scene.image}@{scene.index}"
    for image in (tag, pin, f"{tag}@{scene.index}", f"{tag}@{scene.child}"):
        code, answer = scene.verify(image)
        assert (code, answer["reason"]) == ((0, "verified") if admitted else (1, "no-signature")), image
        assert answer["digest"] in {str(scene.index), str(scene.child)}
    for document in (
        review(sync(oci(pin))),
        poll(sync(oci(pin), claim(f"{pin}@{scene.child}"))),
        poll(sync(oci(tag), claim(f"{tag}@{scene.child}"))),
        poll(sync(oci(f"{tag}@{scene.index}"), claim(f"{tag}@{scene.index}@{scene.child}"))),
    ):
        allowed, message = scene.review(document)
        assert allowed is admitted, message
        assert admitted or message.startswith("no signatures found")


def test_a_child_alone_is_judged_alone(scene: Scene) -> None:
    SIGNER.sign_tag(scene.store, NAME, scene.index)
    code, answer = scene.verify(f"{scene.image}@{scene.child}")
    assert (code, answer["reason"], answer["index"]) == (1, "no-signature", None)
    assert scene.verify(f"{scene.image}:v1@{scene.child}")[1]["index"] == str(scene.index)


def test_a_claim_of_a_pin_that_does_not_list_it_names_both(scene: Scene) -> None:
    other = scene.store.push_manifest(
        NAME, layouts.image({"mediaType": "x", "digest": str(scene.child), "size": 0}, [])
    )
    SIGNER.sign_tag(scene.store, NAME, other)
    SIGNER.sign_tag(scene.store, NAME, scene.index)
    pin = f"{scene.image}@{scene.index}"
    allowed, message = scene.review(poll(sync(oci(pin), claim(f"{pin}@{other}"))))
    assert not allowed
    assert message.startswith(f"source-mismatch: {scene.image}@{other} is claimed, and the source is pinned to")
    assert str(scene.index) in message


def test_a_cold_question_about_a_child_asks_for_each_document_once(scene: Scene) -> None:
    SIGNER.sign_tag(scene.store, NAME, scene.index)
    settings = from_environment({"GATE_KEY": scene.key})
    policy = compose.load_policy(settings)
    before = scene.store.requests
    with compose.open_gate(settings, compose.CommandLine(frozenset({scene.host}), plain_http=True)) as gate:
        for image in (Reference.parse(f"{scene.image}:v1"), Reference.parse(f"{scene.image}@{scene.index}")):
            decision = gate.decide(policy, Claimed(image, scene.child), Context(), compose.deadline(8))
            assert decision.admits
    asked = Counter(scene.store.recent_requests[before:])
    assert max(asked.values()) == 1
    assert sum(asked.values()) == 9  # three places twice, the index by its tag and by its digest, and the payload


def test_a_chart_is_verified_by_its_version_where_the_policy_says_so(scene: Scene) -> None:
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": str(scene.child), "size": 0}
    chart = scene.store.push_manifest("charts/app", layouts.image(config, []), tag="1.2.3_b.7")
    source = helm(f"oci://{scene.host}/charts", "1.2.3+b.7")
    document = poll(sync(source, claim(f"oci://{scene.host}/charts@sha256:1.2.3+b.7")))
    assert scene.review(document)[1].startswith("helm-oci: ")
    settings = from_environment({"GATE_KEY": scene.key})
    closed = compose.load_policy(settings)
    resolving = replace(closed, sources=replace(closed.sources, helm_oci=HelmOciChoice.RESOLVE))
    records: list[Record] = []

    def ask() -> None:
        with compose.open_gate(settings, compose.CommandLine(frozenset({scene.host}), plain_http=True)) as gate:
            Reviewer(gate, lambda: resolving, records.append).answer(encode(document), compose.deadline(8))

    ask()
    SIGNER.sign_tag(scene.store, "charts/app", chart)
    ask()
    unsigned, signed = json.loads(json.dumps(records))
    assert unsigned["message"].startswith(f"no signatures found for {scene.host}/charts/app@{chart}")
    assert (signed["allowed"], signed["decisions"][0]["digest"]) == (True, str(chart))
    assert "bound to the version" in signed["decisions"][0]["message"]
