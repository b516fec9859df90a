"""The policy file: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.core.authorities import KeyAuthority, KeylessAuthority, Outcome
from gate.core.certificates import Identity
from gate.core.errors import ConfigError
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    HelmOciChoice,
    ImageException,
    MatchReference,
    Mode,
    NoMatch,
    ObjectException,
    OnUnavailable,
    Pass,
    Signatures,
    SourceChoice,
    Term,
)
from gate.core.rfc3339 import parse_instant
from gate.core.verdict import Signer
from gate.trust.policyfile import load_key, load_key_policy, load_policy
from tests.fakes.roots import FakeRoots, agrees
from tests.fakes.signing import signer
from tests.unit.trust.policies import (
    ACCEPTED,
    BASE,
    DIGEST,
    EDGE,
    KEYLESS,
    PUBLIC_GOOD,
    REFUSED,
    ROOTS,
    UNTIL,
    Refused,
    Roots,
    authorities,
    exception,
    load,
    prepare,
)

TERM = Term(parse_instant(UNTIL), "x")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def refusal(directory: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(directory, text)
    return caught.value.message.splitlines()


def authority(directory: Path, fields: str) -> KeyAuthority | KeylessAuthority:
    (only,) = load(directory, authorities(fields)).rules
    assert isinstance(only.requirement, Signatures)
    return only.requirement.authorities[0]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_policy_of_every_field_is_read(directory: Path, name: str) -> None:
    assert load(directory, ACCEPTED[name]).rules[0].name == "one"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{REFUSED.index(case)} {case.messages[0][:80]}")
def test_a_wrong_policy_is_refused_with_these_words(directory: Path, case: Refused) -> None:
    expected = [f"policy.yaml:{message}".replace("DIR", str(directory)) for message in case.messages]
    assert refusal(directory, case.text) == expected


def test_a_full_policy_is_read_as_written(directory: Path) -> None:
    inline = "".join(f"              {line}\n" for line in signer("p256", 2).public_pem.decode().splitlines())
    policy = load(
        directory,
        f"""\
apiVersion: gate/v1
kind: Policy
noMatch: warn
sources: {{git: allow, helmHttp: existing, helmOci: resolve, requireDigest: true}}
rollout: {{mode: warn, until: {UNTIL}, reason: x}}
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
    matchReference: repository
    onUnavailable: allow
    message: ask the platform team
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
    assert policy.sources.helm_oci is HelmOciChoice.RESOLVE
    assert policy.rollout == TERM
    assert (platform.mode, platform.on_unavailable) == (Mode.WARN, OnUnavailable.ALLOW)
    assert platform.match_reference is MatchReference.REPOSITORY
    assert platform.message == "ask the platform team"
    assert isinstance(platform.requirement, Signatures)
    assert (platform.requirement.count, platform.requirement.needed) == (2, ())
    assert platform.requirement.authorities == (
        KeyAuthority("a", load_key(directory / "a.pub", FakeRoots())),
        KeyAuthority("c", load_key(directory / "c.pub", FakeRoots())),
    )
    at_zero = Reference.parse("registry.example/acme/x").at(Digest("0" * 64))
    assert platform.match.matches(at_zero, Context("RootSync", "team-1", "edge"))
    assert not platform.match.matches(at_zero, Context("RepoSync", "team-1", "edge"))
    assert (bad.requirement, bad.message, bad.mode) == (Fail(), "rolled back", Mode.ENFORCE)
    assert opened.requirement == Pass()


def test_what_is_left_out_takes_the_value_that_is_named_first(directory: Path) -> None:
    policy = load(directory, BASE)
    (only,) = policy.rules
    assert only.mode is Mode.ENFORCE
    assert only.on_unavailable is OnUnavailable.DENY
    assert only.match_reference is MatchReference.IGNORE
    assert isinstance(only.requirement, Signatures)
    assert (only.requirement.count, only.requirement.needed) == (1, ())
    assert not policy.sources.require_digest
    assert policy.rollout is None
    assert policy.exceptions == ()


def test_all_by_name_asks_for_as_many_signers_as_names(directory: Path) -> None:
    (only,) = load(directory, ACCEPTED["all by name"]).rules
    assert isinstance(only.requirement, Signatures)
    assert (only.requirement.count, only.requirement.needed) == (2, ("b", "a"))


@pytest.mark.parametrize(
    ("fields", "root", "log", "timestamp"),
    [
        ("", None, False, False),
        (", transparencyLog: ignore", None, False, False),
        (", transparencyLog: required", PUBLIC_GOOD, True, False),
        (", transparencyLog: required, trustRoot: sigstore", PUBLIC_GOOD, True, False),
        (", transparencyLog: required, trustRoot: {file: root.json}", ROOTS["root.json"], True, False),
        (", trustRoot: {file: root.json}, signedTimestamp: required", ROOTS["root.json"], False, True),
        (", trustRoot: {file: root.json}, signedTimestamp: auto", None, False, False),
        (", trustRoot: {file: root.json}", None, False, False),
    ],
)
def test_a_key_proves_what_is_asked_of_it_by_the_trust_root_it_names(
    directory: Path, fields: str, root: object, log: bool, timestamp: bool
) -> None:
    found = authority(directory, f"name: a, key: {{file: a.pub}}{fields}")
    assert isinstance(found, KeyAuthority)
    assert (found.root, found.log, found.timestamp) == (root, log, timestamp)


@pytest.mark.parametrize(
    ("fields", "root", "log", "timestamp"),
    [
        ("", PUBLIC_GOOD, True, False),
        (", trustRoot: sigstore, signedTimestamp: required", PUBLIC_GOOD, True, True),
        (", trustRoot: {file: root.json}", ROOTS["root.json"], True, False),
        (", transparencyLog: ignore, signedTimestamp: required", PUBLIC_GOOD, False, True),
    ],
)
def test_a_keyless_authority_needs_a_log_entry_unless_a_timestamp_is_required_in_its_place(
    directory: Path, fields: str, root: object, log: bool, timestamp: bool
) -> None:
    found = authority(directory, f"{KEYLESS}{fields}")
    assert isinstance(found, KeylessAuthority)
    assert (found.root, found.log, found.timestamp) == (root, log, timestamp)
    assert found.second is (agrees if root is PUBLIC_GOOD else None)


def test_identities_are_exact_or_whole_string_expressions(directory: Path) -> None:
    found = authority(
        directory,
        "name: a, keyless: {identities: [{issuer: i, subject: s}, {issuerRegExp: 'j|k', subjectRegExp: 't.*'}]}",
    )
    assert isinstance(found, KeylessAuthority)
    exact, pattern = found.identities
    assert exact.accepts(Identity("s", "i"))
    assert not exact.accepts(Identity("ss", "i"))
    assert pattern.accepts(Identity("tu", "k"))
    assert not pattern.accepts(Identity("at", "k"))
    assert not pattern.accepts(Identity("t", "jk"))


def test_without_an_issuer_only_an_identity_without_one_is_meant(directory: Path) -> None:
    found = authority(directory, "name: a, keyless: {identities: [{subject: s}]}, trustRoot: {file: root.json}")
    assert isinstance(found, KeylessAuthority)
    assert found.identities[0].accepts(Identity("s", None))
    assert not found.identities[0].accepts(Identity("s", "i"))


def test_exceptions_are_about_one_digest_or_about_one_object(directory: Path) -> None:
    policy = load(
        directory,
        exception(f'image: "REGISTRY.example:443/acme/x@{DIGEST}", reason: x, until: {UNTIL}')
        + f"  - {{repository: registry.example/acme/y, {EDGE}, reason: x, until: {UNTIL}}}\n",
    )
    assert policy.exceptions == (
        ImageException(Reference.parse(f"registry.example/acme/x@{DIGEST}"), TERM),
        ObjectException(
            Reference.parse("registry.example/acme/y"), Context("RootSync", "config-management-system", "edge"), TERM
        ),
    )


def test_a_policy_without_trust_roots_asks_for_none(directory: Path) -> None:
    roots = Roots()
    load(directory, BASE, roots)
    assert (roots.asked, roots.files) == (0, [])


def test_names_of_files_are_relative_to_the_directory_of_the_policy(directory: Path) -> None:
    roots = Roots()
    load(directory, authorities(f"{KEYLESS}, trustRoot: {{file: sub/root.json}}"), roots)
    load(directory, authorities(f"{KEYLESS}, trustRoot: {{file: /etc/root.json}}"), roots)
    assert roots.files == [directory / "sub" / "root.json", Path("/etc/root.json")]


def test_a_trust_root_that_cannot_be_had_is_told_where_it_is_named(directory: Path) -> None:
    class Offline(Roots):
        def sigstore(self) -> tuple[object, object]:  # type: ignore[override]  # it raises
            raise ConfigError("there is no trust root")

    with pytest.raises(ConfigError, match=r"^policy.yaml:9: rules\[0\].authorities\[0\].trustRoot: there is no trust"):
        load(directory, authorities(KEYLESS), Offline())


def test_the_policy_controller_field_names_that_carry_over_work_unchanged(directory: Path) -> None:
    """ClusterImagePolicy v1beta1: authorities of keys and identities, and the mode; its images have another shape."""
    pem = signer("p256", 0).public_pem.decode()
    cluster_image_policy = {
        "mode": "warn",
        "authorities": [
            {"name": "official", "key": {"data": pem}},
            {
                "name": "workflow",
                "keyless": {
                    "identities": [
                        {"issuer": "https://token.actions.githubusercontent.com", "subject": "me@example.com"},
                        {"issuerRegExp": "https://.*", "subjectRegExp": "https://github\\.com/acme/.*"},
                    ]
                },
            },
        ],
    }
    # JSON is YAML: the block is written exactly as policy-controller reads it.
    fields = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in cluster_image_policy.items())
    head = BASE.partition("    authorities")[0]
    (only,) = load(directory, head + fields).rules
    assert only.mode is Mode.WARN
    assert isinstance(only.requirement, Signatures)
    key, keyless = only.requirement.authorities
    assert (key.name, keyless.name) == ("official", "workflow")
    assert isinstance(keyless, KeylessAuthority)
    assert keyless.identities[1].accepts(Identity("https://github.com/acme/config", "https://i"))


def test_a_policy_that_is_missing_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'the policy ".*policy.yaml" cannot be read: No such file or directory'):
        load_policy(tmp_path / "policy.yaml", FakeRoots())


def test_the_name_of_a_policy_writes_nothing_to_a_terminal_but_itself(directory: Path) -> None:
    path = directory / "\x1b[2J.yaml"
    for text, line in (("- x\n", 1), ("apiVersion: gate/v2\n", 1), ("\n[", 2)):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_policy(path, FakeRoots())
        assert all(problem.startswith(f'"\\x1b[2J.yaml":{line}: ') for problem in caught.value.message.splitlines())


def test_a_policy_above_one_mebibyte_is_refused(directory: Path) -> None:
    assert refusal(directory, BASE + "#" * 1024 * 1024)[0].endswith("has more than 1048576 bytes")


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
    assert policy.sources.helm_oci is HelmOciChoice.DENY
    assert policy.no_match is NoMatch.DENY


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_no_text_raises_anything_but_config_error(directory: Path, text: str) -> None:
    path = directory / "policy.yaml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    with pytest.raises(ConfigError):
        load_policy(path, FakeRoots())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(name=st.sampled_from(sorted(ACCEPTED)), data=st.data())
def test_no_change_of_a_good_policy_raises_anything_but_config_error(
    directory: Path, name: str, data: st.DataObject
) -> None:
    text = ACCEPTED[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    other = data.draw(st.text(max_size=5) | st.sampled_from(["[]", "{}", "~", '""', "[x]", "{a: b}", "1", "\n"]))
    try:
        load(directory, text[:start] + other + text[end:])
    except ConfigError as error:
        assert error.message


def test_what_a_certificate_proves_is_remembered_by_each_authority_for_itself(directory: Path) -> None:
    asked: list[str] = []

    def ask(name: str) -> Outcome:
        asked.append(name)
        return Signer(name, "somebody")

    first, second = (authority(directory, KEYLESS) for _ in range(2))
    for name, each in (("first", first), ("second", second)) * 2:
        assert each.memo(b"one question", partial(ask, name)) == Signer(name, "somebody")
    assert asked == ["first", "second"]
