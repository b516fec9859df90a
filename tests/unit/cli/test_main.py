"""The command line: misuse is one sentence and code 2, and nothing is imported that a command does not need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from gate import __version__
from gate.cli import COMMANDS, main, verify
from gate.cli.options import flag
from gate.cli.policy import ACTIONS
from gate.core.reasons import Reason
from gate.core.verdict import CandidateResult, Decision, Denied, Exempt, RuleResult, Verified
from gate.core.verdict import Signer as Voucher
from gate.demo.signer import Signer
from gate.settings import DEFAULTS, Settings
from tests.fakes import reviews
from tests.fakes.shared import shared_fixture

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "cosign.pub"
    path.write_bytes(Signer.generate().public_pem)
    return str(path)


def misuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that is misused, and return its one sentence."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.strip()


@pytest.mark.parametrize("words", [[], ["nope"], ["verify"], ["verify", "--nope", "x"], ["review"], ["serve", "x"]])
def test_words_that_make_no_command_are_misuse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: gate" in capsys.readouterr().err


def test_a_key_and_a_policy_at_once_are_misuse() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify", "--key", "a", "--policy", "b", "x.example/y"])
    assert caught.value.code == 2


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "301", "nan", "inf"])
def test_a_timeout_is_bounded(seconds: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify", "--timeout", seconds, "x.example/y"])
    assert caught.value.code == 2


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"gate {__version__}\n"


@pytest.mark.parametrize(
    "image", ["", "UPPER", "a b", "x.example/y:t:u", "x.example//y", f"x.example/y@{DIGEST}x", "x.example/y@md5:aa", "https://x.example/y"]
)  # fmt: skip
def test_an_image_that_is_no_reference_is_misuse(image: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert misuse(capsys, "verify", "--key", key, image).startswith("gate verify: ")


def test_a_key_that_is_missing_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = misuse(capsys, "verify", "--key", "gone.pub", f"x.example/y@{DIGEST}")
    assert sentence == 'gate verify: the public key "gone.pub" cannot be read: No such file or directory'


def test_an_unknown_field_of_a_policy_is_misuse_that_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
        "sources: {git: deny, helmHttp: deny, helmOci: deny}\nexemptions: []\n"
        'rules: [{name: r, match: {images: ["**"]}, static: pass}]\n'
    )
    sentence = misuse(capsys, "verify", "--policy", str(policy), f"x.example/y@{DIGEST}")
    assert sentence == (
        "gate verify: policy.yaml:5: exemptions: is not a field that gate knows here, expected one of apiVersion,"
        " exceptions, kind, noMatch, rollout, rules, sources"
    )


def test_a_token_that_is_none_is_misuse_without_the_token(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("two secret words")
    sentence = misuse(capsys, "verify", "--key", key, "--token-file", str(token), f"x.example/y@{DIGEST}")
    assert "does not hold one access token" in sentence
    assert "secret" not in sentence


def test_of_several_images_the_worst_counts_and_static_rules_need_no_registry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
        "sources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        'rules: [{name: r, match: {images: ["x.example/open"], kinds: [RootSync]}, static: pass}]\n'
    )
    asked = ["verify", "--policy", str(policy), "-o", "json"]
    opened, closed = f"x.example/open@{DIGEST}", f"x.example/closed@{DIGEST}"
    assert main([*asked, "--kind", "RootSync", opened]) == 0
    assert main([*asked, "--kind", "RepoSync", opened]) == 1
    assert main([*asked, opened]) == 1
    assert main([*asked, "--kind", "RootSync", opened, closed]) == 1
    verdicts = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["exempt", "denied", "denied", "exempt", "denied"]


def write(path: Path, *documents: reviews.Document) -> str:
    path.write_text("\n".join(json.dumps(document, indent=1) for document in documents))
    return str(path)


def test_a_stream_of_reviews_is_answered_a_line_each(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held = reviews.sync(reviews.oci(), reviews.claim(f"{reviews.IMAGE}:v1@{reviews.A}"))
    stream = write(tmp_path / "r.json", reviews.poll(held), reviews.review(reviews.sync(reviews.git())))
    assert main(["review", "--offline", "--key", key, stream]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["decision"], first["subjects"]) == ("verify", [f"{reviews.IMAGE}@{reviews.A}"])
    assert (second["decision"], second["reason"], second["subjects"]) == ("allow", "git", [])
    assert set(first) == {"uid", "decision", "reason", "subjects"}


def test_a_review_is_answered_as_the_webhook_answers(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = write(tmp_path / "r.json", reviews.review(reviews.sync(reviews.git())))
    assert main(["review", "--key", key, stream]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "AdmissionReview"
    assert answer["response"]["allowed"] is True


def test_a_review_without_a_uid_is_code_2_and_the_others_are_answered(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = write(tmp_path / "r.json", {}, reviews.review(reviews.sync(reviews.git())))
    for options in ([], ["--offline"]):
        assert main(["review", "--key", key, *options, stream]) == 2
        printed = capsys.readouterr()
        assert printed.out.count("\n") == 1
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize("text", ["", "   ", "{", "hello", '{"a":1} x'])
def test_a_file_that_holds_no_reviews_is_misuse(
    text: str, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert misuse(capsys, "review", "--key", key, str(path)).startswith(f"gate review: {path}: ")


def test_the_recorded_reviews_are_answered_offline_as_expected(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads(shared_fixture("expected-reviews.json").read_text())
    del expected["about"]
    for name, (decision, digest) in expected.items():
        path = shared_fixture("admission-reviews") / name
        assert main(["review", "--offline", "--key", key, str(path)]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["decision"] == decision, name
        assert [subject.partition("@")[2] for subject in answer["subjects"]] == ([digest] if digest else []), name
    assert len(expected) == 15


def test_every_setting_has_a_flag_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert flag("GATE_TLS_CERT") == "--tls-cert"
    done = subprocess.run(
        [sys.executable, "-m", "gate", "serve", "--port", "80x", "--tls-cert", str(tmp_path / "none")],
        env={"GATE_PORT": "1234", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (2, 'gate serve: GATE_PORT is "80x"; it takes a port from 1 to 65535\n')
    assert Settings.parse({}).port == 10250
    assert all(name.startswith("GATE_") for name in DEFAULTS)


def imported_by(*words: str) -> set[str]:
    """Return the modules that a command imports, the interpreter's own left out."""
    program = (
        "import sys\nfrom gate.cli import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


HELPS = [[], *([name] for name in COMMANDS), *(["policy", name] for name in ACTIONS), ["registry", "check"]]


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_waits_for_no_heavy_library(words: list[str]) -> None:
    heavy = {"flask", "gunicorn", "requests", "urllib3", "oras", "kubernetes", "google", "sigstore", "tuf"}
    modules = imported_by(*words, "--help")
    assert "argparse" in modules
    assert not modules & heavy


def test_a_verdict_by_key_imports_neither_sigstore_nor_kubernetes_nor_a_web_server(key: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
        "sources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        f"rules: [{{name: r, match: {{images: [a.example/b]}}, authorities: [{{name: k, key: {{file: {key}}}}}]}}]\n"
    )
    unused = {"flask", "gunicorn", "kubernetes", "sigstore", "tuf"}
    modules = imported_by("verify", "--policy", str(policy), f"x.example/y@{DIGEST}")
    assert "oras" in modules
    assert not modules & unused


@pytest.mark.parametrize(
    "authority",
    [
        '{name: a, key: {file: "a\\0b"}}',
        '{name: a, key: {file: "\\uD800"}}',
        '{name: a, key: {data: "\\uD800"}}',
        '{name: "\\UFFFFFFFF"}',
    ],
)
def test_odd_characters_in_a_policy_are_misuse_and_no_bug(
    authority: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\nsources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        f'rules: [{{name: r, match: {{images: ["**"]}}, authorities: [{authority}]}}]\n'
    )
    sentence = misuse(capsys, "verify", "--policy", str(policy), f"x.example/y@{DIGEST}")
    assert "policy.yaml" in sentence
    assert "bug" not in sentence


@pytest.mark.parametrize("option", ["--key", "--policy", "--registries"])
def test_an_empty_name_of_a_file_is_not_the_default(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert misuse(capsys, "verify", option, "", f"x.example/y@{DIGEST}").startswith(f"gate verify: {option} is empty")


def test_a_bug_is_code_2_and_never_looks_like_a_denial(
    key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.cli.verify.exit_code", Fraction)  # which is given no number
    policy = ["--key", key, "--timeout", "0.001"]
    assert main(["verify", *policy, f"x.invalid/y@{DIGEST}"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"gate verify: a bug in gate: TypeError at gate/cli/verify\.py:\d+\n", said)


@pytest.mark.parametrize(
    "verdict",
    [Verified("verified: x", (), ("a rule only warns",)), Exempt(Reason.STATIC_PASS, "x", ("a rule only warns",))],
)
def test_the_warnings_of_an_admitted_image_are_told(verdict: Verified | Exempt) -> None:
    assert "  warning: a rule only warns" in verify.as_text("oci:x", Decision(verdict)).splitlines()


def test_what_a_verdict_names_cannot_write_on_the_terminal() -> None:
    signed = CandidateResult("bundle", "x", Reason.VERIFIED, "", Voucher("\x1b[2J", "key"))
    decision = Decision(
        Denied(Reason.NO_RULE, "no-rule: x"), (RuleResult("r", "enforce", Verified("", ()), (signed,)),)
    )
    assert verify.as_text("oci:\x1b[2J", decision).replace("\n", "").isprintable()
