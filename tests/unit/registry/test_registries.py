from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import ConfigError
from gate.registry.registries import RegistryEntry, canonical_host, parse_registries


def parse(text: str) -> tuple[RegistryEntry, ...]:
    return parse_registries(text.encode(), name="registries.yaml")


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


@pytest.mark.parametrize("name", ["clientCertFile", "clientKeyFile", "realmAllow", "credentials"])
def test_what_is_not_built_yet_is_said_so(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"registries.yaml:2: \[0\].{name}: is not built yet"):
        parse(f"- host: a.example\n  {name}: x\n")


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
