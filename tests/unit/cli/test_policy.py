"""``gate policy``: each finding with its line and its exact words, and what is said of an image."""
# ruff: noqa: E501 (a table of cases, a line each)

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.cli import main
from gate.core.lint import lint
from gate.core.rfc3339 import format_instant
from tests.fakes.disk import Disk
from tests.fakes.signing import signer
from tests.unit.trust.policies import DIGEST, load, prepare

ROOT = Path(__file__).parents[3]
HEAD = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: existing, helmHttp: deny, helmOci: deny}
"""
SIGNED = "authorities: [{name: a, key: {file: a.pub}}]"
CLOSED = 'match: {images: ["r.example/acme/**"], kinds: [RootSync]}'
KEYLESS = "authorities: [{name: a, keyless: {identities: [ID]}}]"
TWO_KEYLESS = "authorities: [{name: a, keyless: {identities: [ID]}}, {name: b, keyless: {identities: [ID]}}]"
COUNT = "can never be satisfied: 2 signers are wanted, and its authorities accept only 1"
ME = "{issuer: https://i.example, subject: me}"
STRANGER = '"https://github.com/stranger/stranger/.github/workflows/stranger.yaml@refs/heads/stranger"'


def in_days(days: float) -> str:
    return format_instant(datetime.now(UTC) + timedelta(days=days))


SOON, LATER, PAST, FAR = in_days(3), in_days(20), in_days(-3), in_days(60)


def rules(*each: Sequence[str]) -> str:
    """A policy of these rules, the first in line 6, each of these lines."""
    return (
        HEAD
        + "rules:\n"
        + "".join(
            ("  - " if number == 0 else "    ") + line + "\n" for lines in each for number, line in enumerate(lines)
        )
    )


GOOD = rules(["name: one", CLOSED, SIGNED])
ON = "r.example/acme/x"


def exception(fields: str) -> str:
    """The good policy with an exception, in line 10."""
    return f"{GOOD}exceptions:\n  - {{{fields}}}\n"


def keyless(identity: str) -> str:
    return rules(["name: one", CLOSED, KEYLESS.replace("ID", identity)])


FINDINGS = {
    "nothing": (GOOD, []),
    "noMatch allow": (GOOD.replace("noMatch: deny", "noMatch: allow"), ["3: warning: noMatch: allow admits every image that no rule is about, signed or not"]),
    "noMatch warn": (GOOD.replace("noMatch: deny", "noMatch: warn"), ["3: warning: noMatch: warn admits every image that no rule is about, signed or not"]),
    "git": (GOOD.replace("git: existing", "git: allow"), ["4: warning: sources.git: allow: whoever may switch a source to git walks around every rule; consider existing or deny"]),
    "helm": (GOOD.replace("helmHttp: deny", "helmHttp: allow"), ["4: warning: sources.helmHttp: allow: whoever may switch a source to helmHttp walks around every rule; consider existing or deny"]),
    "warn": (rules(["name: one", "mode: warn", CLOSED, SIGNED]), ["7: warning: rules[0].mode: warn denies nothing and has no end; a rollout has one"]),
    "audit": (rules(["name: one", "mode: audit", CLOSED, SIGNED]), ["7: warning: rules[0].mode: audit denies nothing and has no end; a rollout has one"]),
    "open audit": (rules(["name: one", "mode: audit", 'match: {images: ["**"]}', SIGNED]), ["7: warning: rules[0].mode: audit denies nothing and has no end; a rollout has one"]),
    "outage": (rules(["name: one", CLOSED, "onUnavailable: allow", SIGNED]), ["8: warning: rules[0].onUnavailable: allow: an outage of the registry admits what nobody has verified"]),
    "open": (rules(["name: one", 'match: {images: ["**"]}', SIGNED]), ["7: warning: rules[0].match: is open to every RepoSync, whoever owns its namespace; kinds or namespaces would say for whom it is"]),
    "open by kind": (rules(["name: one", 'match: {images: ["**"], kinds: [RepoSync], namespaces: ["*"], names: [x]}', SIGNED]), ["7: warning: rules[0].match: is open to every RepoSync, whoever owns its namespace; kinds or namespaces would say for whom it is"]),
    "not open": (rules(["name: one", 'match: {images: ["**"], kinds: [RepoSync], namespaces: ["team-*"]}', SIGNED]), []),
    "refusing every RepoSync": (rules(["name: one", 'match: {images: ["**"]}', "static: fail"]), []),
    "namespace": (rules(["name: one", 'match: {images: ["**"], kinds: [RepoSync], namespaces: [a, "b.*"]}', SIGNED]), ['7: error: rules[0].match.namespaces[1]: matches nothing: no namespace has a "." in its name']),
    "RootSync elsewhere": (rules(["name: one", 'match: {images: ["**"], kinds: [RootSync], namespaces: [a]}', SIGNED]), ["7: error: rules[0].match.namespaces: the rule never matches: a RootSync is in config-management-system or nowhere"]),
    "RootSync": (rules(["name: one", 'match: {images: ["**"], kinds: [RootSync], namespaces: ["config-*"]}', SIGNED]), []),
    "unreachable": (rules(["name: one", CLOSED, SIGNED], ["name: two", 'match: {images: ["**"]}', "static: fail"]), ['6: error: rules[0]: rule "one" decides nothing: rule "two" refuses every image that it is about']),
    "contradictory": (rules(["name: one", CLOSED, SIGNED], ["name: two", CLOSED.replace("**", "open"), "static: pass"]), ['9: error: rules[1]: rule "two" admits nothing: rule "one" is about all its images as well, and every rule that matches counts']),
    "key twice": (rules(["name: one", CLOSED, SIGNED], ["name: two", CLOSED.replace("acme", "other"), "authorities:", "  - name: b", "    key: {file: a.pub}"]), ['13: warning: rules[1].authorities[0].key: is the key of rule "one" as well: whoever replaces it has to do so in both']),
    "one signer for two": (rules(["name: one", CLOSED, "require: {count: 2}", TWO_KEYLESS.replace("ID", ME)]), [f"8: error: rules[0].require: {COUNT}"]),
    "one signer for all": (rules(["name: one", CLOSED, "require: {all: [a, b]}", TWO_KEYLESS.replace("ID", ME)]), [f"8: error: rules[0].require: {COUNT}"]),
    "two signers": (rules(["name: one", CLOSED, "require: {count: 2}", TWO_KEYLESS.replace("ID", ME, 1).replace("ID", "{issuer: https://i.example, subjectRegExp: m.}")]), []),
    "two signers by expressions alike": (rules(["name: one", CLOSED, "require: {count: 2}", TWO_KEYLESS.replace("ID", "{issuer: https://i.example, subjectRegExp: m.}")]), []),
    "two signers by two issuers": (rules(["name: one", CLOSED, "require: {count: 2}", TWO_KEYLESS.replace("ID", ME, 1).replace("ID", ME.replace("i.example", "j.example"))]), []),
    "two keys": (rules(["name: one", CLOSED, "require: {count: 2}", "authorities: [{name: a, key: {file: a.pub}}, {name: b, key: {file: b.pub}}]"]), []),
    "too few signers, and whoever comes along": (rules(["name: one", CLOSED, "require: {all: [a, b]}", TWO_KEYLESS.replace("ID", ME)[:-1] + ", {name: c, keyless: {identities: [{issuer: https://i.example, subjectRegExp: .*}]}}]"]), [f"8: error: rules[0].require: {COUNT}", '9: warning: rules[0].authorities[2].keyless.identities[0].subjectRegExp: matches everything: ".*"']),
    "any subject": (keyless('{issuer: https://i.example, subjectRegExp: "^(.+)$"}'), ['8: warning: rules[0].authorities[0].keyless.identities[0].subjectRegExp: matches everything: "^(.+)$"']),
    "any issuer": (keyless('{issuerRegExp: ".*", subject: me}'), ['8: warning: rules[0].authorities[0].keyless.identities[0].issuerRegExp: matches everything: ".*"']),
    "strangers": (keyless('{issuer: https://i.example, subjectRegExp: "https://github.com/.*"}'), [f'8: warning: rules[0].authorities[0].keyless.identities[0].subjectRegExp: "https://github.com/.*" accepts strangers, such as {STRANGER}']),
    "friends": (keyless(r"{issuer: https://i.example, subjectRegExp: 'https://github\.com/acme/.*'}"), []),
    "exception ends": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {SOON}'), [f"10: warning: exceptions[0]: ends soon, at {SOON}"]),
    "exception stays": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {LATER}'), []),
    "exception past": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {PAST}'), [f"10: error: exceptions[0]: until {PAST} has no effect: it is past"]),
    "exception far": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {FAR}'), [f"10: error: exceptions[0]: until {FAR} has no effect: it ends more than 30 days ahead"]),
    "exception without a reason": (exception(f'image: "{ON}@{DIGEST}", until: {LATER}'), [f"10: error: exceptions[0]: until {LATER} has no effect: it gives no reason"]),
    "exception for what is refused": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {LATER}').replace("rules:\n", 'rules:\n  - {name: bad, match: {images: ["**"]}, static: fail}\n').replace("RootSync]}", f'RootSync], digests: ["{DIGEST}"]}}'), ['7: error: rules[1]: rule "one" decides nothing: rule "bad" refuses every image that it is about', '11: error: exceptions[0]: has no effect: rule "bad" refuses what it excepts (static: fail)']),
    "exception for what is refused to another": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {LATER}').replace("rules:\n", 'rules:\n  - {name: bad, match: {images: ["**"], kinds: [RepoSync]}, static: fail}\n'), []),
    "exception for what a warn rule refuses": (exception(f'image: "{ON}@{DIGEST}", reason: x, until: {LATER}').replace("rules:\n", 'rules:\n  - {name: bad, mode: warn, match: {images: ["**"]}, static: fail}\n'), ["6: warning: rules[0].mode: warn denies nothing and has no end; a rollout has one"]),
    "exception for an object that is refused": (exception(f"repository: {ON}, kind: RepoSync, namespace: a, name: b, reason: x, until: {LATER}").replace("rules:\n", 'rules:\n  - {name: bad, match: {images: ["**"], kinds: [RepoSync]}, static: fail}\n'), ['11: error: exceptions[0]: has no effect: rule "bad" refuses what it excepts (static: fail)']),
    "rollout ends": (GOOD.replace("rules:\n", f"rollout: {{mode: warn, until: {SOON}, reason: x}}\nrules:\n"), [f"5: warning: rollout: ends soon, at {SOON}"]),
    "rollout past": (GOOD.replace("rules:\n", f"rollout: {{mode: warn, until: {PAST}, reason: x}}\nrules:\n"), [f"5: error: rollout: until {PAST} has no effect: it is past"]),
    "unknown field": (GOOD + "exemptions: []\n", ["9: error: exemptions: is not a field that gate knows here, expected one of apiVersion, exceptions, kind, noMatch, rollout, rules, sources"]),
    "no YAML": ("a: [\n", ["2: error: is not YAML: expected the node content, but found '<stream end>'"]),
    "missing key": (GOOD.replace("a.pub", "gone.pub"), ['8: error: rules[0].authorities[0].key.file: the public key "DIR/gone.pub" cannot be read: No such file or directory']),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE_STATE_DIR", str(tmp_path / "state"))
    return prepare(tmp_path)


def write(folder: Path, text: str) -> str:
    path = folder / "policy.yaml"
    path.write_text(text)
    return str(path)


def policy(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    code = main(["policy", *words])
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, printed.out.splitlines()


def misuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["policy", *words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err.strip()


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_names_its_line_and_code_1_says_that_there_is_one(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = FINDINGS[name]
    code, lines = policy(capsys, "check", write(folder, text))
    found = [f"policy.yaml:{line}".replace("DIR", str(folder)) for line in expected]
    assert lines == (found or ["policy.yaml: no findings"])
    assert code == (1 if found else 0)


def test_a_week_before_the_end_of_a_term_is_soon(folder: Path) -> None:
    text = GOOD.replace("rules:\n", "rollout: {mode: warn, until: 2026-12-08T00:00:00Z, reason: x}\nrules:\n")
    loaded, week = load(folder, text), datetime(2026, 12, 1, tzinfo=UTC)
    assert [finding.message for finding in lint(loaded, week)] == ["ends soon, at 2026-12-08T00:00:00Z"]
    assert lint(loaded, week - timedelta(microseconds=1)) == ()


def test_images_that_no_enforce_or_warn_rule_is_about_are_told_whoever_asks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audited = ["name: two", "mode: audit", 'match: {images: ["r.example/**"]}', SIGNED]
    path = write(folder, rules(["name: one", CLOSED, SIGNED], audited))
    code, lines = policy(
        capsys, "check", path, "--image", "r.example/acme/x:v1", "r.example/y:v1", "--image", "z.example/z"
    )
    assert code == 1
    assert [line for line in lines if ": rules: " in line] == [
        "policy.yaml:6: error: rules: no enforce or warn rule is about r.example/y:v1, which is denied",
        "policy.yaml:6: error: rules: no enforce or warn rule is about z.example/z, which is denied",
    ]


def test_an_image_that_no_rule_is_about_is_told_where_it_is_admitted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder, GOOD.replace("noMatch: deny", "noMatch: allow"))
    code, lines = policy(capsys, "check", path, "--image", "z.example/z")
    assert (code, lines[-1]) == (
        1,
        "policy.yaml:6: warning: rules: no enforce or warn rule is about z.example/z, which is admitted",
    )


def test_images_that_a_rule_is_about_are_no_finding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert policy(capsys, "check", write(folder, GOOD), "--image", ON)[0] == 0


def test_what_cannot_be_looked_at_is_misuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        misuse(capsys, "check", "gone.yaml")
        == 'gate policy: the policy "gone.yaml" cannot be read: No such file or directory'
    )
    path = write(folder, GOOD)
    assert misuse(capsys, "check", path, "--image", "UPPER") == 'gate policy: "UPPER" is not an image reference'
    assert misuse(capsys, "check", path, "--image", "oci:x") == (
        'gate policy: "oci:x" is on disk, and rules are about images by name: name the repository it is for'
    )
    assert misuse(capsys, "explain", path, "oci:x").startswith('gate policy: "oci:x": the rules of ')
    assert misuse(capsys, "explain", "gone.yaml", ON).startswith('gate policy: the policy "gone.yaml" cannot be read')


def test_an_explanation_says_who_asks_what_follows_and_what_each_rule_wants(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["name: two", 'match: {images: ["q.example/**"]}', "static: fail"]
    path = write(folder, rules(["name: one", CLOSED, SIGNED], other))
    code, lines = policy(capsys, "explain", path, f"{ON}:v1", "--kind", "RootSync", "--name", "edge")
    assert code == 0
    assert [line.partition(" sha256:")[0] for line in lines] == [
        f"image     {ON}:v1",
        "asked by  RootSync */edge",
        'verdict   admitted if every enforce rule that matches is satisfied: "one"',
        'rule "one" (enforce) is about it',
        "  signed by:",
        '  - "a": the key',
        'rule "two" (enforce) is not about it: none of its images matches',
    ]


def test_an_image_that_nothing_admits_is_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder, GOOD)
    code, lines = policy(capsys, "explain", path, ON)
    assert (code, lines[1]) == (1, "asked by  nobody in particular")
    assert lines[-1] == 'rule "one" (enforce) is not about it: it looks at kinds, and --kind is not given'


def test_what_admits_besides_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder, exception(f'image: "{ON}@{DIGEST}", reason: INC-1, until: {LATER}'))
    code, lines = policy(capsys, "explain", path, f"{ON}@{DIGEST}")
    assert code == 0
    assert lines[3] == f'besides   the exception for {ON}@{DIGEST} admits until {LATER}: "INC-1"'


def test_an_image_on_disk_is_explained_by_its_name_and_its_digest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = Disk(folder / "bundle")
    digest = disk.image()
    disk.oras(digest, signer())
    match = f'match: {{images: ["r.example/**"], digests: ["{digest}"]}}'
    path = write(folder, rules(["name: bad", match, "static: fail"]))
    image = f"oci:{disk.path}:v1"
    code, lines = policy(capsys, "explain", path, image, "--as", "r.example/x")
    assert (code, lines[0]) == (1, f"image     r.example/x@{digest}")
    assert lines[-1] == "  nothing satisfies it (static: fail)"
    assert misuse(capsys, "explain", path, f"oci:{disk.path}:v2", "--as", "r.example/x").endswith(
        "the layout has no such image"
    )


def test_what_a_cluster_mounts_is_read_from_where_it_lies_here(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder, GOOD.replace("a.pub", "/cosign-key/a.pub"))
    code, lines = policy(capsys, "check", path)
    assert (code, len(lines)) == (1, 1)
    assert lines[0].endswith('the public key "/cosign-key/a.pub" cannot be read: No such file or directory')
    assert policy(capsys, "check", path, "--mount", "/elsewhere=gone", "--mount", f"/cosign-key={folder}")[0] == 0
    assert policy(capsys, "check", path, "--mount", f"/cosign={folder}")[0] == 1
    words = ["explain", path, ON, "--kind", "RootSync", "--mount", f"/cosign-key={folder}"]
    assert policy(capsys, *words)[0] == 0


@pytest.mark.parametrize("mount", ["", "keys", "/cosign-key", "/cosign-key=", "cosign-key=keys"])
def test_a_mount_is_an_absolute_path_and_a_directory(mount: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["policy", "check", "policy.yaml", "--mount", mount])
    assert caught.value.code == 2
    assert "it takes PATH=DIR, where PATH begins with /" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nope"], ["check"], ["explain", "policy.yaml"], ["test"], ["schema", "x"]])
def test_words_that_make_no_action_are_misuse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["policy", *words])
    assert caught.value.code == 2
    assert "usage: gate" in capsys.readouterr().err


def test_the_schema_is_printed_as_it_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = policy(capsys, "schema")
    assert code == 0
    assert "\n".join(lines) + "\n" == (ROOT / "docs" / "policy.schema.json").read_text()
    assert json.loads("\n".join(lines))["title"] == "Policy of gate"
