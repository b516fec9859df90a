"""``gate policy test``: right answers pass, every other one fails, and what cannot be read is never a pass."""
# ruff: noqa: E501 (cases, a line each)

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gate.cli import main
from gate.cli.policy.cases import CASES
from gate.cli.policy.junit import Result, junit
from gate.cli.policy.test import UNDECIDED
from gate.core.oci import Digest
from gate.core.reasons import UNAVAILABLE, Reason
from tests.fakes import reviews
from tests.fakes.disk import Disk
from tests.fakes.signing import signer
from tests.readme import ROOT, blocks
from tests.reasons_page import SECTIONS

NAME = "r.example/acme/platform"
POLICY = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: deny, helmHttp: deny, helmOci: deny}
rules:
  - name: platform
    match: {images: ["r.example/acme/**"]}
    onUnavailable: allow
    authorities: [{name: release, key: {file: /cosign-key/cosign.pub}}]
"""
TEST = "apiVersion: gate/v1\nkind: PolicyTest\npolicy: policy.yaml\nmounts: [{path: /cosign-key, directory: keys}]\n"
LAYOUTS = f"layouts: [{{repository: {NAME}, directory: bundle}}, {{repository: r.example/acme/unsigned, directory: unsigned}}]\n"
IMAGE = f"{TEST}{LAYOUTS}image: {NAME}:v1\n"
ALLOW = "expect: {decision: allow, reason: verified}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy, its key, a signed image and one that nobody signed."""
    monkeypatch.setenv("GATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GATE_POLICY", "not the policy that is tested")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "cosign.pub").write_bytes(signer().public_pem)
    signed = Disk(tmp_path / "bundle")
    signed.oras(signed.image(), signer())
    unsigned = Disk(tmp_path / "unsigned")
    unsigned.list(unsigned.image("unsigned"), "v1")
    return tmp_path


def digest(folder: Path) -> Digest:
    return Digest.parse(json.loads((folder / "bundle" / "index.json").read_text())["manifests"][0]["digest"])


def case(folder: Path, text: str, name: str = "x.case.yaml") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    code = main(["policy", "test", ".", *words])
    printed = capsys.readouterr()
    return code, printed.out.splitlines(), printed.err.strip()


def result(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> str | None:
    """Run one case; return what is said of it where it fails, None where it passes."""
    case(folder, text)
    code, (line,), _ = run(capsys)
    assert code == (0 if line == "ok    x.case.yaml" else 1)
    return None if code == 0 else line.removeprefix("FAIL  x.case.yaml: ")


def misuse(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> list[str]:
    case(folder, text)
    code, lines, said = run(capsys)
    assert (code, lines) == (2, [])
    return said.removeprefix("gate policy: ").splitlines()


def test_every_case_below_is_run_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case(folder, IMAGE + ALLOW, "b/signed.case.yaml")
    case(folder, IMAGE + ALLOW, "a/case.yaml")
    case(folder, IMAGE + ALLOW.replace("allow", "deny"), "c.case.yml")
    case(folder, "not a case", "b/case.yaml.bak")
    for name in ("policy.yaml", "keys", "bundle", "unsigned"):
        for below in ("a", "b"):
            (folder / below / name).symlink_to(folder / name)
    code, lines, said = run(capsys)
    assert [line.partition(": ")[0] for line in lines] == [
        "ok    a/case.yaml",
        "ok    b/signed.case.yaml",
        "FAIL  c.case.yml",
    ]
    assert (code, said) == (1, "3 cases, 1 failed")


@pytest.mark.parametrize(
    ("expected", "passes"),
    [
        ("{decision: allow}", True),
        ("{decision: allow, reason: verified}", True),
        ("{decision: allow, message: is signed for rule}", True),
        ("{decision: deny}", False),
        ("{decision: allow, reason: warned}", False),
        ("{decision: allow, message: is not}", False),
        ("{decision: deny, reason: verified}", False),
    ],
)
def test_a_case_passes_only_if_all_that_is_expected_is_so(
    expected: str, passes: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (result(folder, capsys, f"{IMAGE}expect: {expected}\n") is None) is passes


def test_a_failure_says_what_was_expected_and_what_the_answer_was(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = result(
        folder, capsys, f'{IMAGE}expect: {{decision: deny, reason: no-signature, message: "no signatures"}}\n'
    )
    verified = f'verified: {NAME}@{digest(folder)} is signed for rule "platform" by "release"'
    assert said == f'expected deny no-signature with "no signatures", got allow verified: {verified}'


def test_an_image_that_nobody_signed_is_denied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{TEST}{LAYOUTS}image: r.example/acme/unsigned:v1\n"
    assert result(folder, capsys, f"{text}expect: {{decision: deny, reason: no-signature}}\n") is None


def test_a_tag_that_a_layout_lacks_is_not_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = IMAGE.replace(":v1", ":v2")
    assert result(folder, capsys, f"{text}expect: {{decision: deny, reason: not-found}}\n") is None


def test_another_repository_of_a_registry_on_disk_is_asked_of_nobody_and_is_no_outage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = IMAGE.replace(f"image: {NAME}", "image: r.example/acme/other")
    words = 'nothing says which layout on disk the repository \\"acme/other\\" is'
    expected = f'{{decision: deny, reason: registry-unreachable, message: "{words}"}}'
    assert result(folder, capsys, f"{text}expect: {expected}\n") is None


@pytest.mark.parametrize(
    ("context", "reason"), [("{kind: RootSync}", "verified"), ("{kind: RepoSync}", "no-rule"), ("{}", "no-rule"), ("{namespace: a, name: b}", "no-rule")]
)  # fmt: skip
def test_the_object_that_asks_decides_which_rules_match(
    context: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policy.yaml").write_text(POLICY.replace('**"]', '**"], kinds: [RootSync]'))
    decision = "allow" if reason == "verified" else "deny"
    text = f"{IMAGE}object: {context}\nexpect: {{decision: {decision}, reason: {reason}}}\n"
    assert result(folder, capsys, text) is None


@pytest.mark.parametrize(
    ("now", "reason"), [("2026-01-15T00:00:00Z", "exception"), ("2026-02-01T00:00:00Z", "no-signature")]
)
def test_it_is_asked_at_the_time_of_the_case(
    now: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policy.yaml").write_text(
        f"{POLICY}exceptions: [{{repository: r.example/acme/unsigned, kind: RootSync, namespace: a, name: b,"
        " reason: INC-1, until: 2026-02-01T00:00:00Z}]\n"
    )
    decision = "allow" if reason == "exception" else "deny"
    text = f"{TEST}{LAYOUTS}image: r.example/acme/unsigned:v1\nobject: {{kind: RootSync, namespace: a, name: b}}\n"
    assert result(folder, capsys, f"{text}now: {now}\nexpect: {{decision: {decision}, reason: {reason}}}\n") is None


def review(folder: Path, document: object) -> str:
    (folder / "review.json").write_text(json.dumps(document))
    return f"{TEST}{LAYOUTS}review: review.json\n"


def test_a_poll_is_answered_by_what_lies_on_disk(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = reviews.claim(f"{NAME}:v1@{digest(folder)}")
    text = review(folder, reviews.poll(reviews.sync(reviews.oci(f"{NAME}:v1"), claim)))
    assert result(folder, capsys, text + ALLOW) is None
    lost = reviews.claim(f"{NAME}:v1@{reviews.A}")
    text = review(folder, reviews.poll(reviews.sync(reviews.oci(f"{NAME}:v1"), lost)))
    assert result(folder, capsys, text + "expect: {decision: deny}\n") is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            reviews.review(reviews.sync(reviews.git())),
            "{decision: deny, reason: source-denied, message: does not allow git}",
        ),
        (reviews.review(None, reviews.sync(reviews.git())), "{decision: allow, reason: delete}"),
        ({"request": {"uid": "1"}}, "{decision: deny, reason: malformed}"),
        ({}, "{decision: deny, reason: malformed}"),
    ],
)
def test_a_review_that_asks_for_no_image_is_answered_as_the_webhook_does(
    document: object, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert result(folder, capsys, f"{review(folder, document)}expect: {expected}\n") is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ({"request": {"uid": "1"}}, "deny malformed"),
        ([], "deny malformed"),
        ("r.example/acme/other", "deny registry-unreachable"),
    ],
)
def test_a_refusal_that_no_policy_decided_passes_only_where_its_reason_is_expected(
    question: object, answer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = IMAGE.replace(NAME + ":", f"{question}:") if isinstance(question, str) else review(folder, question)
    _, _, reason = answer.partition(" ")
    said = result(folder, capsys, f"{text}expect: {{decision: deny}}\n")
    assert said is not None
    assert said.startswith(f"expected deny, got {answer}: ")
    assert said.endswith(f"; the policy decided nothing: where {reason} is what is tested, expect that reason")
    said = result(folder, capsys, f"{text}expect: {{decision: deny, reason: no-signature}}\n")
    assert said is not None
    assert said.startswith(f"expected deny no-signature, got {answer}: ")
    assert not said.endswith("expect that reason")
    assert result(folder, capsys, f"{text}expect: {{decision: deny, reason: {reason}}}\n") is None


def test_no_reason_for_which_nothing_is_known_is_taken_for_a_decision() -> None:
    reasons = list(Reason)
    (unavailable,) = (place for place, (_, title, _) in enumerate(SECTIONS) if title == "Could not tell")
    first, after = (reasons.index(reason) for reason, _, _ in SECTIONS[unavailable : unavailable + 2])
    assert frozenset(reasons[first:after]) == UNAVAILABLE
    assert set(map(str, UNAVAILABLE)) < UNDECIDED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["x.case.yaml: is empty"]),
        ("a: [", ["x.case.yaml:1: is not YAML: expected the node content, but found '<stream end>'"]),
        (IMAGE, ["x.case.yaml:1: expect: is missing, expected a mapping"]),
        (f"{IMAGE}expect: {{reason: verified}}\n", ["x.case.yaml:7: expect.decision: is missing, expected allow or deny"]),
        (f"{IMAGE}expect: {{decision: allow, reasn: verified}}\n", ["x.case.yaml:7: expect.reasn: is not a field that gate knows here, expected one of decision, message, reason"]),
        (f"{TEST}{ALLOW}", ["x.case.yaml:1: found neither review nor image, expected exactly one of them".replace("1: ", "1: the document: ")]),
        (f"{IMAGE}review: review.json\n{ALLOW}", ["x.case.yaml:1: the document: found both review and image, expected exactly one of them"]),
        (f"{TEST}review: gone.json\n{ALLOW}", ['x.case.yaml:5: review: the review "gone.json" cannot be read: No such file or directory']),
        (f"{TEST}review: policy.yaml\nobject: {{}}\n{ALLOW}", ["x.case.yaml:6: object: is not a field that gate knows here, expected one of apiVersion, expect, image, kind, layouts, mounts, now, policy, review"]),
        (f"{IMAGE}object: {{kind: Pod}}\n{ALLOW}", ['x.case.yaml:7: object.kind: found "Pod", expected RootSync or RepoSync']),
        (f"{IMAGE}object: {{kin: RootSync}}\n{ALLOW}", ["x.case.yaml:7: object.kin: is not a field that gate knows here, expected one of kind, name, namespace"]),
        (IMAGE.replace("directory: bundle", "directory: bundle, tag: v1") + ALLOW, ["x.case.yaml:5: layouts[0].tag: is not a field that gate knows here, expected directory or repository"]),
        (IMAGE.replace("directory: keys", "directory: keys, file: x") + ALLOW, ["x.case.yaml:4: mounts[0].file: is not a field that gate knows here, expected directory or path"]),
        (f"{IMAGE}now: soon\n{ALLOW}", ['x.case.yaml:7: now: "soon" is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)']),
        (IMAGE.replace(f"image: {NAME}:v1", "image: UPPER") + ALLOW, ['x.case.yaml:6: image: "UPPER" is not an image reference']),
        (IMAGE.replace(f"repository: {NAME}", f"repository: {NAME}:v1") + ALLOW, [f'x.case.yaml:5: layouts[0].repository: found "{NAME}:v1", expected a repository without tag and digest']),
        (IMAGE.replace("path: /cosign-key", "path: cosign-key") + ALLOW, ['x.case.yaml:4: mounts[0].path: found "cosign-key", expected a path that begins with /, as the policy names it']),
        (IMAGE.replace("repository: r.example/acme/unsigned", f"repository: {NAME}") + ALLOW, [f'x.case.yaml:5: layouts[1].repository: found "{NAME}" a second time, expected it once']),
        (IMAGE.replace("directory: keys", "directory: gone") + ALLOW, ['x.case.yaml: policy.yaml:9: rules[0].authorities[0].key.file: the public key "gone/cosign.pub" cannot be read: No such file or directory']),
        (IMAGE.replace("policy: policy.yaml", "policy: gone.yaml") + ALLOW, ['x.case.yaml: the policy "gone.yaml" cannot be read: No such file or directory']),
        (IMAGE.replace("directory: unsigned", "directory: keys") + ALLOW, ['x.case.yaml: "keys" is not an OCI layout: it has no file oci-layout']),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_read_is_misuse_and_nothing_is_asked(
    text: str, said: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case(folder, IMAGE + ALLOW, "a.case.yaml")
    assert misuse(folder, capsys, text) == said


def test_the_mistakes_of_all_cases_are_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case(folder, "", "a.case.yaml")
    assert misuse(folder, capsys, "") == ["a.case.yaml: is empty", "x.case.yaml: is empty"]


def test_no_case_at_all_is_misuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, said = run(capsys)
    assert (code, lines) == (2, [])
    assert said == 'gate policy: "." holds no case: no file is named case.yaml or ends in .case.yaml'
    assert main(["policy", "test", "gone"]) == 2
    assert capsys.readouterr().err == 'gate policy: "gone" cannot be read: No such file or directory\n'


def test_more_cases_than_anybody_has_are_misuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(CASES + 1):
        (folder / f"{number}.case.yaml").touch()
    code, lines, said = run(capsys)
    assert (code, lines, said) == (2, [], f'gate policy: "." holds more than {CASES} cases')


def test_the_results_are_written_for_continuous_integration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case(folder, IMAGE + ALLOW, "a.case.yaml")
    case(folder, IMAGE + ALLOW.replace("allow", "deny"), "b\x01.case.yaml")
    code, lines, _ = run(capsys, "--junit", "report.xml")
    assert code == 1
    assert lines[1].startswith('FAIL  "b\\x01.case.yaml": expected deny verified, got allow verified: ')
    root = ET.parse(folder / "report.xml").getroot()  # noqa: S314 (it was written here)
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    good, bad = suite
    assert (good.get("name"), len(good)) == ("a.case.yaml", 0)
    assert bad.get("name") == "b\\x01.case.yaml"
    assert f'FAIL  "b\\x01.case.yaml": {bad[0].get("message")}' == lines[1]
    assert bad[0].text == bad[0].get("message")


def test_results_that_cannot_be_written_are_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case(folder, IMAGE + ALLOW)
    code, _, said = run(capsys, "--junit", "gone/report.xml")
    assert code == 2
    assert said.endswith('the results cannot be written to "gone/report.xml": No such file or directory')


def test_a_report_holds_nothing_that_xml_does_not(tmp_path: Path) -> None:
    every = "".join(map(chr, range(0x110000)))
    root = ET.fromstring(junit([Result(every, 0.5, every)]))  # noqa: S314 (it was written here)
    name = root[0][0].get("name")
    assert name is not None
    assert "\\x00" in name
    assert "\\udc80" in name
    assert "\\uffff" in name
    assert "\U0010ffff" in name


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_a_name_that_is_no_text_is_printed_and_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case(folder, IMAGE + ALLOW, os.fsdecode(b"\xff.case.yaml"))
    code, lines, _ = run(capsys, "--junit", "report.xml")
    assert (code, lines) == (0, ['ok    "\\udcff.case.yaml"'])
    assert "\\udcff.case.yaml" in (folder / "report.xml").read_text()


def test_the_example_of_the_documentation_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = tmp_path / "policy-tests"
    for block in blocks((ROOT / "docs" / "policy-test.md").read_text()):
        kind, _, name = block.mark.partition(": ")
        if kind in {"case", "file"}:
            case(tests, block.text, name)
    (tmp_path / "policy.yaml").write_text(POLICY.replace("r.example/acme/**", "us-docker.pkg.dev/acme/config/**"))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "cosign.pub").write_bytes(signer().public_pem)
    disk = Disk(tests / "bundles" / "platform")
    disk.oras(disk.image(), signer())
    assert main(["policy", "test", str(tests)]) == 0
    assert capsys.readouterr().out == "ok    git/case.yaml\nok    signed.case.yaml\n"
