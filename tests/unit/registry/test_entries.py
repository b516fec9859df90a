from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import ConfigError
from gate.registry.entries import (
    ClientCertificate,
    CredentialChoice,
    DockerConfigFile,
    GoogleIdentity,
    NoCredentials,
    RegistryEntry,
    TokenFile,
    TokenSecret,
    canonical_host,
    parse_registries,
)


def parse(text: str, directory: str = ".") -> tuple[RegistryEntry, ...]:
    return parse_registries(text.encode(), name="registries.yaml", directory=Path(directory))


def test_a_file_lists_registries() -> None:
    text = """
- host: Registry.Example:5000
  caFile: /etc/gate/ca.pem
  allowPrivate: true
- host: localhost:5001
  plainHTTP: true
- host: index.docker.io
"""
    assert parse(text) == (
        RegistryEntry("registry.example:5000", Path("/etc/gate/ca.pem"), allow_private=True),
        RegistryEntry("localhost:5001", plain_http=True),
        RegistryEntry("docker.io"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- host: a.example\n  colour: red\n", r"registries.yaml:2: \[0\].colour: is not a field that gate knows"),
        ("- host: a.example\n- host: A.example:443\n", r"registries.yaml:2: \[1\].host: .* listed twice"),
        ("- caFile: /x\n", r"\[0\].host: is missing"),
        ("- host: a.example\n  plainHTTP: yes\n", "expected true or false"),
        ("- host: a.example\n  plainHTTP: true\n  caFile: /x\n", "no meaning"),
        ("- host: https://a.example\n", "not a registry's host"),
        ("- host: a.example/ns\n", "not a registry's host"),
        ("- host: registry\n", "needs a dot or a port"),
        ("- host: 7\n", "needs a dot or a port"),
        ("- a.example\n", "expected a mapping"),
        ("host: a.example\n", "holds a list"),
        ("", "is empty"),
        ("- host: a.example\n  host: b.example\n", "twice"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_client_certificate_is_two_files() -> None:
    (entry,) = parse("- host: a.example\n  clientCertFile: /etc/gate/tls.crt\n  clientKeyFile: tls.key\n", "/mounted")
    assert entry.client == ClientCertificate(Path("/etc/gate/tls.crt"), Path("/mounted/tls.key"))


@pytest.mark.parametrize(
    ("name", "missing"), [("clientCertFile", "clientKeyFile"), ("clientKeyFile", "clientCertFile")]
)
def test_half_a_client_certificate_is_refused(name: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"registries.yaml:1: \[0\].{missing}: is missing"):
        parse(f"- host: a.example\n  {name}: x\n")


def test_the_realms_that_are_allowed_are_hosts() -> None:
    text = "- host: a.example\n  realmAllow: [Auth.Example, 'auth.example:443', '10.0.0.5:8443', '[::1]:5001']\n"
    assert parse(text)[0].realm_allow == ("auth.example", "auth.example", "10.0.0.5:8443", "[::1]:5001")


@pytest.mark.parametrize(
    "host",
    [
        "https://auth.example",
        "auth.example/token",
        "*.example",
        "u@auth.example",
        "a b",
        "auth.example:0",
        "a?b",
        "a#b",
    ],
)
def test_what_is_not_a_realms_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"registries.yaml:2: \[0\].realmAllow: .* is not a host"):
        parse(f"- host: a.example\n  realmAllow: ['{host}']\n")


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("dockerConfigFile: logins/config.json", DockerConfigFile(Path("/mounted/logins/config.json"))),
        ("tokenFile: /token", TokenFile(Path("/token"))),
        ("tokenSecret: pull", TokenSecret("pull")),
        ("google: true", GoogleIdentity()),
        ("anonymous: true", NoCredentials()),
    ],
)
def test_a_registry_may_have_credentials_of_its_own(text: str, choice: CredentialChoice) -> None:
    assert parse(f"- host: a.example\n  credentials: {{{text}}}\n", "/mounted")[0].credentials == choice


@pytest.mark.parametrize(
    "text",
    ["{}", "{google: true, anonymous: true}", "{google: false}", "{password: x}", "{tokenFile: ''}", "x", "[]", "~"],
)
def test_credentials_are_exactly_one_choice(text: str) -> None:
    with pytest.raises(ConfigError, match=r"registries.yaml:\d: \[0\].credentials"):
        parse(f"- host: a.example\n  credentials: {text}\n")


@pytest.mark.parametrize(
    "field", ["caFile: /x", "clientCertFile: /x\n  clientKeyFile: /y", "credentials: {google: true}"]
)
def test_plain_http_has_neither_certificates_nor_credentials(field: str) -> None:
    with pytest.raises(ConfigError, match="plain http"):
        parse(f"- host: a.example\n  plainHTTP: true\n  {field}\n")


def test_plain_http_may_be_said_to_be_anonymous() -> None:
    assert parse("- host: a.example\n  plainHTTP: true\n  credentials: {anonymous: true}\n")[0].plain_http


def test_an_entry_knows_every_file_that_it_names() -> None:
    (entry,) = parse(
        "- host: a.example\n  caFile: ca\n  clientCertFile: crt\n  clientKeyFile: key\n  credentials: {tokenFile: t}\n",
        "/m",
    )
    assert entry.files == (
        ("caFile", Path("/m/ca")),
        ("clientCertFile", Path("/m/crt")),
        ("clientKeyFile", Path("/m/key")),
        ("tokenFile", Path("/m/t")),
    )


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("- host: a/b\n  x: 1\n- host: b.example\n  credentials: {}\n")
    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    "host", ["a.example", "a.example:5000", "localhost", "[::1]:5000", "10.0.0.1:5000", "docker.io"]
)
def test_a_canonical_host_stays(host: str) -> None:
    assert canonical_host(host) == host


@pytest.mark.parametrize(
    "host", ["", " a.example", "a.example/", "a.example:0", "a.example:99999", "user@a.example", "a..b", "x\n"]
)
def test_what_no_reference_can_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError):
        canonical_host(host)


@given(st.text(max_size=40))
def test_any_host_is_canonical_or_a_config_error(host: str) -> None:
    try:
        found = canonical_host(host)
    except ConfigError:
        return
    assert canonical_host(found) == found


@given(st.binary(max_size=80))
def test_any_file_is_read_or_a_config_error(data: bytes) -> None:
    try:
        parse_registries(data, name="x")
    except ConfigError:
        return
