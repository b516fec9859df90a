"""The story without sockets: the webhook is gate's own answer, given in this process from the same store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.oci import Digest, Reference
from gate.demo import content, layouts
from gate.demo.page import WIDTH, Page, nomos_status
from gate.demo.review import ANNOTATION
from gate.demo.store import Store
from gate.demo.story import REPOSITORY, SIGNED_REVIEW, TAMPERED_REVIEW, Scene, Stage
from gate.demo.webhook import Answer
from tests.fakes.signing import signer

REGISTRY = "127.0.0.1:45678"
WHY = "no signatures found for it"
UNSIGNED = Answer(allowed=False, message=WHY)
ADMITTED = Answer(allowed=True, message="")
COPIED = Answer(allowed=False, message="untrusted: it (1 wrong-digest: another)")


@dataclass(slots=True)
class Script:
    """Answers as it is told to, and keeps what it was asked."""

    answers: list[Answer]
    asked: list[bytes] = field(default_factory=list)

    def ask(self, review: bytes) -> Answer:
        self.asked.append(review)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def play(directory: Path, script: Script, store: Store | None = None) -> list[Scene]:
    kept = store or Store()

    def push(image: Reference, files: Mapping[str, str], _directory: Path) -> Digest:
        layer = {"digest": str(kept.push_blob(image.repository, content.pack(files)))}
        return kept.push_manifest(image.repository, layouts.image({}, [layer]), tag=image.tag)

    stage = Stage(kept, REGISTRY, signer(), script, directory, push, sleep=lambda _: None)
    return list(stage.scenes())


def as_it_should_be() -> Script:
    return Script([UNSIGNED, ADMITTED, COPIED])


def test_the_three_verdicts_are_those_of_the_demo(tmp_path: Path) -> None:
    scenes = play(tmp_path, as_it_should_be())
    assert [scene.answer.allowed for scene in scenes] == [False, True, False]
    assert all(scene.as_expected for scene in scenes)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_verdict_that_is_turned_round_is_not_as_expected(tmp_path: Path, which: int) -> None:
    script = as_it_should_be()
    script.answers[which] = Answer(allowed=not script.answers[which].allowed, message="no reason")
    if which == 1:
        script.answers = [script.answers[0], *[script.answers[1]] * 30, script.answers[2]]
    scenes = play(tmp_path, script)
    assert not scenes[which].as_expected


@pytest.mark.parametrize("which", [0, 2])
def test_a_denial_for_another_reason_is_not_as_expected(tmp_path: Path, which: int) -> None:
    script = as_it_should_be()
    script.answers[which] = Answer(allowed=False, message="registry-unreachable: nobody is there")
    scenes = play(tmp_path, script)
    assert not scenes[which].as_expected


def test_the_signature_is_in_the_registry_only_once_the_second_scene_is_asked(tmp_path: Path) -> None:
    store, seen = Store(), []

    class Watching(Script):
        def ask(self, review: bytes) -> Answer:
            seen.append(store.tags(REPOSITORY))
            return Script.ask(self, review)

    scenes = play(tmp_path, Watching(as_it_should_be().answers), store)
    first, second, third = seen
    assert first == ("v1",)
    assert second == (f"{scenes[0].digest.tag}.sig", "v1")
    assert third is not None
    assert f"{scenes[2].digest.tag}.sig" in third
    copied, original = (store.manifest(REPOSITORY, f"{scenes[number].digest.tag}.sig") for number in (2, 1))
    assert copied == original
    assert scenes[2].digest != scenes[1].digest


def test_a_denial_that_is_remembered_is_asked_again_as_config_sync_does(tmp_path: Path) -> None:
    script = Script(
        [
            *[UNSIGNED] * 5,
            ADMITTED,
            COPIED,
        ]
    )
    assert all(scene.as_expected for scene in play(tmp_path, script))
    assert len(set(script.asked[1:6])) == 1


def test_it_does_not_ask_for_ever(tmp_path: Path) -> None:
    script = Script([UNSIGNED])
    assert not play(tmp_path, script)[1].as_expected
    assert len(script.asked) < 50


def test_the_reviews_to_try_are_kept_as_they_were_sent(tmp_path: Path) -> None:
    script = as_it_should_be()
    play(tmp_path, script)
    assert (tmp_path / SIGNED_REVIEW).read_bytes() == script.asked[1]
    assert (tmp_path / TAMPERED_REVIEW).read_bytes() == script.asked[2]
    assert ANNOTATION.encode() in script.asked[2]


def test_the_denial_stands_on_the_page_exactly_as_nomos_prints_it(tmp_path: Path) -> None:
    scene = play(tmp_path, as_it_should_be())[0]
    hexadecimal = scene.digest.hex
    expected = f"""*demo
  --------------------
  <root>:root-sync   {REGISTRY}/config:v1
  ERROR              {hexadecimal}
  TotalErrorCount: 1
  Error:   KNV2002: failed to patch RootSync annotation: configsync.gke.io/image-to-sync: APIServer error: \
admission webhook "imageverification.webhook.com" denied the request: {WHY}

For more information, see https://g.co/cloud/acm-errors#knv2002"""
    assert nomos_status(scene.image, hexadecimal, WHY) == expected
    assert expected in Page().scene(1, scene)


def pages(scenes: list[Scene], page: Page) -> str:
    shown = [page.scene(number, scene) for number, scene in enumerate(scenes, 1)]
    return "\n".join((page.head(REGISTRY, "https://localhost:45679"), *shown, page.result(scenes, 3.2)))


def test_the_page_is_plain_and_fits_a_hundred_columns(tmp_path: Path) -> None:
    text = pages(play(tmp_path, as_it_should_be()), Page())
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("  Error:   KNV2002")] == []


def test_the_page_says_each_verdict_and_that_all_were_as_expected(tmp_path: Path) -> None:
    lines = pages(play(tmp_path, as_it_should_be()), Page()).split("\n")
    assert [line.split()[-1] for line in lines if line[:2] in {"1.", "2.", "3."}] == ["DENIED", "ADMITTED", "DENIED"]
    assert lines[-1].startswith("All 3 verdicts as expected in 3.2 s")


def test_the_page_says_what_differed(tmp_path: Path) -> None:
    script = as_it_should_be()
    script.answers[2] = ADMITTED
    text = pages(play(tmp_path, script), Page())
    assert 'Expected: denied with "wrong-digest", but it was admitted' in text
    assert text.endswith("1 of 3 verdicts not as expected: see 3.")


def test_colour_appears_only_where_it_is_asked_for_and_changes_no_letter(tmp_path: Path) -> None:
    scenes = play(tmp_path, as_it_should_be())
    plain, coloured = pages(scenes, Page()), pages(scenes, Page(colour=True))
    assert coloured != plain
    for code in ("\x1b[1m", "\x1b[1;31m", "\x1b[1;32m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain
