"""The policy file: what is read, and what is refused with which words."""
# ruff: noqa: E501 (a table of cases, a line each)

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.core.errors import ConfigError
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Fail, Mode, NoMatch, OnUnavailable, Pass, Policy, Signatures, SourceChoice
from gate.trust.policyfile import load_key, load_key_policy, load_policy
from tests.fakes.roots import FakeRoots

HEAD = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: existing, helmHttp: deny, helmOci: deny}
"""
RULE = """\
rules:
  - name: one
    match: {images: ["registry.example/acme/**"]}
    authorities: [{name: a, key: {file: a.pub}}]
"""


def public_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a.pub", "b.pub"):
        (tmp_path / name).write_bytes(public_pem())
    return tmp_path


def load(directory: Path, text: str) -> Policy:
    path = directory / "policy.yaml"
    path.write_text(text)
    return load_policy(path, FakeRoots())


def refusal(directory: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(directory, text)
    return caught.value.message.splitlines()


def test_a_full_policy_is_read_as_written(directory: Path) -> None:
    (directory / "c.pub").write_bytes(pem := public_pem())
    inline = "".join(f"              {line}\n" for line in pem.decode().splitlines())
    policy = load(
        directory,
        f"""\
apiVersion: gate/v1
kind: Policy
noMatch: warn
sources: {{git: allow, helmHttp: existing, helmOci: deny, requireDigest: true}}
rules:
  - name: platform
    mode: warn
    match:
      images: ["registry.example/acme/**", "docker.io/nginx"]
      kinds: [RootSync]
      namespaces: ["team-*"]
      names: [edge]
      digests: ["sha256:{"0" * 64}"]
    require: {{count: 2}}
    matchReference: ignore
    onUnavailable: allow
    authorities:
      - name: a
        key: {{file: a.pub}}
        transparencyLog: ignore
      - name: c
        key:
          data: |
{inline}
  - name: known-bad
    match: {{images: ["**"]}}
    static: fail
    message: rolled back
  - name: open
    match: {{images: ["registry.example/open"]}}
    static: pass
""",
    )
    platform, bad, opened = policy.rules
    assert policy.no_match is NoMatch.WARN
    assert (policy.sources.git, policy.sources.helm_http) == (SourceChoice.ALLOW, SourceChoice.EXISTING)
    assert policy.sources.require_digest
    assert platform.mode is Mode.WARN
    assert platform.on_unavailable is OnUnavailable.ALLOW
    assert isinstance(platform.requirement, Signatures)
    assert platform.requirement.count == 2
    assert [authority.key for authority in platform.requirement.authorities] == [
        load_key(directory / "a.pub", FakeRoots()),
        load_key(directory / "c.pub", FakeRoots()),
    ]
    at_zero = Reference.parse("registry.example/acme/x").at(Digest("0" * 64))
    assert platform.match.matches(at_zero, Context("RootSync", "team-1", "edge"))
    assert not platform.match.matches(at_zero, Context("RepoSync", "team-1", "edge"))
    assert (bad.requirement, bad.message, bad.mode) == (Fail(), "rolled back", Mode.ENFORCE)
    assert opened.requirement == Pass()


def test_what_is_left_out_takes_the_value_that_is_safe(directory: Path) -> None:
    rule = load(directory, HEAD + RULE).rules[0]
    assert rule.mode is Mode.ENFORCE
    assert rule.on_unavailable is OnUnavailable.DENY
    assert isinstance(rule.requirement, Signatures)
    assert rule.requirement.count == 1
    assert not load(directory, HEAD + RULE).sources.require_digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Policy\n" + RULE, "apiVersion: is missing"),
        (HEAD.replace("gate/v1", "gate/v2") + RULE, 'apiVersion: found "gate/v2", expected one of gate/v1'),
        (HEAD.replace("noMatch: deny\n", "") + RULE, "noMatch: is missing"),
        (HEAD.replace("git: existing, ", "") + RULE, "sources.git: is missing"),
        (HEAD.replace("helmHttp: deny, ", "") + RULE, "sources.helmHttp: is missing"),
        (HEAD.replace(", helmOci: deny", "") + RULE, "sources.helmOci: is missing"),
        (HEAD.replace("existing", "maybe") + RULE, 'sources.git: found "maybe", expected one of allow, existing, deny'),
        (HEAD.replace("helmOci: deny", "helmOci: resolve") + RULE, "sources.helmOci: resolve is not built yet; write deny"),
        (HEAD, "rules: is missing"),
        (HEAD + "rules: []\n", "rules: found a list, expected a list that is not empty"),
        (HEAD + RULE + "colour: red\n", "colour: is not a field that gate knows"),
        (HEAD + RULE + "rollout: {mode: warn}\n", "rollout: is not built yet; remove it"),
        (HEAD + RULE + "exceptions: []\n", "exceptions: is not built yet; remove it"),
        (HEAD + RULE.replace("name: one\n", "mode: enforce\n"), "rules[0].name: is missing"),
        (HEAD + RULE.replace("    match:", "    mach:"), "rules[0].match: is missing"),
        (HEAD + RULE.replace("images: [", "images: [acme, "), "rules[0].match.images: "),
        (HEAD + RULE.replace('["registry.example/acme/**"]', "registry.example/acme"), "rules[0].match.images: "),
        (HEAD + RULE.replace("}\n", ", kinds: [Pod]}\n", 1), 'rules[0].match.kinds: found "Pod", expected RootSync or RepoSync'),
        (HEAD + RULE.replace("}\n", ", digests: [abc]}\n", 1), "rules[0].match.digests: "),
        (HEAD + RULE.replace("}\n", ", labels: {a: b}}\n", 1), "rules[0].match.labels: is not a field that gate knows"),
        (HEAD + RULE + "    mode: on\n", 'rules[0].mode: found "on", expected one of enforce, warn, audit'),
        (HEAD + RULE + "    onUnavailable: maybe\n", "rules[0].onUnavailable: "),
        (HEAD + RULE + "    require: {count: 0}\n", "rules[0].authorities: the count is 0, and there are 1 authorities"),
        (HEAD + RULE + "    require: {count: 2}\n", "rules[0].authorities: the count is 2, and there are 1 authorities"),
        (HEAD + RULE + "    require: {all: [a]}\n", "rules[0].require.all: is not built yet; remove it"),
        (HEAD + RULE + "    static: pass\n", "rules[0].static: stands in place of authorities; remove one of the two"),
        (HEAD + RULE + "    matchReference: repository\n", "rules[0].matchReference: repository is not built yet; write ignore"),
        (HEAD + RULE.replace("authorities: [{name: a, key: {file: a.pub}}]", "message: x"), "rules[0].authorities: is missing"),
        (HEAD + RULE.replace("[{name: a, key: {file: a.pub}}]", "[]"), "rules[0].authorities: found a list, expected a list that is not empty"),
        (HEAD + RULE.replace("name: a, ", ""), "rules[0].authorities[0].name: is missing"),
        (HEAD + RULE.replace("key: {file: a.pub}", "trust: b"), "rules[0].authorities[0].key: is missing"),
        (HEAD + RULE.replace("key: {file: a.pub}", "keyless: {}"), "rules[0].authorities[0].keyless: is not built yet; remove it"),
        (HEAD + RULE.replace("a.pub}", "a.pub}, trustRoot: sigstore"), "rules[0].authorities[0].trustRoot: is not built yet; remove it"),
        (HEAD + RULE.replace("a.pub}", "a.pub}, signedTimestamp: auto"), "rules[0].authorities[0].signedTimestamp: is not built yet; remove it"),
        (HEAD + RULE.replace("a.pub}", "a.pub}, transparencyLog: required"), "rules[0].authorities[0].transparencyLog: required is not built yet; write ignore"),
        (HEAD + RULE.replace("a.pub}", "a.pub}, transparencyLog: off"), "rules[0].authorities[0].transparencyLog: expected ignore or required"),
        (HEAD + RULE.replace("file: a.pub", "file: a.pub, data: x"), "rules[0].authorities[0].key.file: give exactly one of file and data"),
        (HEAD + RULE.replace("file: a.pub", "url: x"), "rules[0].authorities[0].key.file: give exactly one of file and data"),
        (HEAD + RULE.replace("a.pub", "gone.pub"), "rules[0].authorities[0].key.file: the public key "),
        (HEAD + RULE.replace("file: a.pub", "data: not a key"), "rules[0].authorities[0].key.data: it is not exactly one PEM block"),
        (HEAD + RULE.replace("}}]", "}}, {name: a, key: {file: b.pub}}]"), "rules[0].authorities: two authorities have the same name"),
        (HEAD + RULE.replace("}}]", "}}, {name: b, key: {file: a.pub}}]"), "rules[0].authorities: two authorities have the same key"),
        (HEAD + RULE + RULE.partition("\n")[2], 'rules[1].name: found "one" a second time; every rule has a name of its own'),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_line_and_path(directory: Path, text: str, message: str) -> None:
    lines = refusal(directory, text)
    assert any(line.split(":", 2)[2].strip().startswith(message) for line in lines), lines
    assert all(line.split(":")[1].isdigit() for line in lines)


def test_every_mistake_of_a_file_is_told_at_once(directory: Path) -> None:
    assert len(refusal(directory, "kind: Pod\ncolour: red\nrules: [{name: one}, {name: one}]\n")) >= 6


def test_a_policy_that_is_missing_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'the policy ".*policy.yaml" cannot be read: No such file or directory'):
        load_policy(tmp_path / "policy.yaml", FakeRoots())


def test_a_policy_above_one_mebibyte_is_refused(directory: Path) -> None:
    assert refusal(directory, HEAD + RULE + "#" * 1024 * 1024)[0].endswith("has more than 1048576 bytes")


def test_a_key_that_is_not_one_is_refused_with_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "cosign.pub").write_text("hello")
    with pytest.raises(ConfigError, match=r'the public key ".*cosign.pub" cannot be used: it is not exactly one PEM'):
        load_key(tmp_path / "cosign.pub", FakeRoots())


def test_a_key_that_is_missing_is_refused_with_the_name_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'the public key ".*cosign.pub" cannot be read: No such file'):
        load_key(tmp_path / "cosign.pub", FakeRoots())


def test_the_policy_of_one_key_covers_every_image_and_leaves_git_open(directory: Path) -> None:
    policy = load_key_policy(directory / "a.pub", FakeRoots())
    assert policy.covers(Reference.parse("anything.example/at/all"), Context())
    assert policy.sources.git is SourceChoice.ALLOW
    assert policy.sources.helm_http is SourceChoice.ALLOW
    assert policy.no_match is NoMatch.DENY


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_no_text_raises_anything_but_config_error(directory: Path, text: str) -> None:
    path = directory / "policy.yaml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    with pytest.raises(ConfigError):
        load_policy(path, FakeRoots())
