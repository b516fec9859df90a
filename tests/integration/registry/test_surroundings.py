"""TLS, the environment, and what oras would do by itself."""

from __future__ import annotations

import inspect
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import oras.auth.base
import oras.provider
import pytest

from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.addresses import AddressClass
from gate.registry.credentials import Anonymous
from gate.registry.entries import RegistryEntry
from gate.registry.exchange import Patience
from gate.registry.registries import CLIENTS, Registries, Surroundings
from gate.registry.transport import Transport, trusting
from tests.fakes.hostile import Authority, Hostile, Reply, make_authority
from tests.integration.registry.conftest import METADATA, PUBLIC, REPOSITORY, Asker, classify, within
from tests.integration.registry.tokens import TokenServer

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
FOUND = Reply(200, b"{}")
# Of oras: prints or returns constants, asks nobody.
HARMLESS = {"__init__", "__repr__", "__str__", "version"}


def unreachable(asker: Asker, server: Hostile, *entries: RegistryEntry) -> UnavailableError:
    client = asker.registries(*entries).client(server.host, named_by_operator=True)
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within())
    assert caught.value.reason is Reason.REGISTRY_UNREACHABLE
    return caught.value


def test_an_untrusted_certificate_is_no_outage(asker: Asker, secure: Hostile) -> None:
    error = unreachable(asker, secure)
    assert not error.outage
    assert (secure.seen, asker.slept) == ([], [])


def test_a_certificate_for_another_name_is_not_trusted(asker: Asker, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "registry.example")
    with Hostile(tls=authority.server) as server:
        error = unreachable(asker, server, RegistryEntry(server.host, authority.ca_file))
    assert not error.outage
    assert "IP address mismatch" in error.message


def test_a_ca_file_replaces_the_systems_authorities(
    asker: Asker, secure: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(asker.authority.ca_file))
    stranger = make_authority(tmp_path / "stranger")
    assert not unreachable(asker, secure, RegistryEntry(secure.host, stranger.ca_file)).outage


def test_asking_adds_no_authorities_to_those_of_the_ca_file(asker: Asker, secure: Hostile) -> None:
    secure.on(TAGGED, FOUND)
    trust = trusting(asker.authority.ca_file.read_bytes(), system=False)
    transport = Transport(trust, lambda _: True)
    assert transport.get(f"{secure.url}{TAGGED}", {}, 10, within()).status == 200
    transport.close()
    assert trust.cert_store_stats()["x509"] == 1


def test_an_authority_of_the_system_is_trusted_for_hosts_that_are_not_listed(
    asker: Asker, secure: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(asker.authority.ca_file))
    secure.on(TAGGED, FOUND)
    client = asker.registries().client(secure.host, named_by_operator=True)
    assert client.manifest(REPOSITORY, "v1", within()) is not None


def test_a_server_that_speaks_no_tls_is_no_outage(asker: Asker, registry: Hostile) -> None:
    error = unreachable(asker, registry)
    assert not error.outage
    assert "TLS" in error.message


def test_tls_below_1_2_is_not_spoken(asker: Asker, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        authority.server.maximum_version = ssl.TLSVersion.TLSv1_1
    authority.server.set_ciphers("ALL:@SECLEVEL=0")
    with Hostile(tls=authority.server) as server:
        error = unreachable(asker, server, RegistryEntry(server.host, authority.ca_file))
    assert not error.outage


def test_a_name_that_does_not_exist_is_no_outage(asker: Asker) -> None:
    client = asker.registries().client("127.0.0.256", named_by_operator=True)
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within())
    assert caught.value.reason is Reason.REGISTRY_UNREACHABLE


def test_a_label_that_no_name_has_is_no_outage(asker: Asker) -> None:
    client = asker.registries().client("a" * 64 + ".example", named_by_operator=True)
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within())
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNREACHABLE, False)


@pytest.mark.parametrize("named", [True, False])
def test_nobody_may_name_a_metadata_server(asker: Asker, authority: Authority, named: bool) -> None:
    with Hostile(METADATA, tls=authority.server) as metadata:
        client = asker.registries().client(metadata.host, named_by_operator=named)
        with pytest.raises(UnavailableError) as caught:
            client.manifest(REPOSITORY, "v1", within())
        assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_ADDRESS, False)
        assert metadata.connections == 0


def test_a_tenant_may_name_public_addresses_only(asker: Asker, secure: Hostile) -> None:
    client = asker.registries().client(secure.host, named_by_operator=False)
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within())
    assert (caught.value.reason, secure.connections) == (Reason.REGISTRY_ADDRESS, 0)


def test_a_tenant_may_name_a_public_host(asker: Asker, public: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(asker.authority.ca_file))
    public.on(TAGGED, FOUND)
    client = asker.registries().client(public.host, named_by_operator=False)
    assert client.manifest(REPOSITORY, "v1", within()) is not None


def test_an_address_that_changes_its_nature_after_connecting_is_sent_nothing(asker: Asker, registry: Hostile) -> None:
    answers = iter([AddressClass.PRIVATE])
    surroundings = Surroundings(
        lambda: 0.0, Patience(asker.slept.append, min), lambda _: next(answers, AddressClass.NEVER)
    )
    registries = Registries([RegistryEntry(registry.host, plain_http=True)], lambda _: Anonymous(), surroundings)
    with pytest.raises(UnavailableError) as caught:
        registries.client(registry.host, named_by_operator=True).manifest(REPOSITORY, "v1", within())
    assert (caught.value.reason, registry.seen) == (Reason.REGISTRY_ADDRESS, [])


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (base, name)
        for base in (oras.provider.Registry, oras.auth.base.AuthBackend)
        for name, _ in inspect.getmembers(base, inspect.isfunction)
        if name not in HARMLESS and (not name.startswith("_") or name == "_do_paginated_request")
    ],
)
def test_nothing_inherited_reaches_the_wire(asker: Asker, registry: Hostile, base: type, name: str) -> None:
    client = asker.client(registry)
    method = getattr(client if base is oras.provider.Registry else client.auth, name)
    assert inspect.ismethod(method)
    names = [parameter for parameter in inspect.signature(getattr(base, name)).parameters if parameter != "self"]
    with pytest.raises(NotImplementedError):
        method(*[f"{registry.url}/v2/{REPOSITORY}/x" for _ in names])
    assert registry.connections == 0


@pytest.mark.parametrize("name", ["get", "post", "head", "put", "delete", "request"])
def test_the_session_asks_nothing_by_itself(asker: Asker, registry: Hostile, name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(asker.client(registry).session, name)(registry.url)
    assert registry.connections == 0


def test_a_client_is_kept_for_each_host_and_for_who_named_it(asker: Asker) -> None:
    registries = asker.registries(RegistryEntry("listed.example"))
    operators = registries.client("one.example", named_by_operator=True)
    assert registries.client("one.example", named_by_operator=True) is operators
    assert registries.client("one.example", named_by_operator=False) is not operators
    listed = registries.client("listed.example", named_by_operator=False)
    assert registries.client("listed.example", named_by_operator=True) is listed


def test_the_client_used_least_is_dropped_and_its_connections_closed(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, FOUND)
    registries = asker.registries(RegistryEntry(registry.host, plain_http=True))
    first = registries.client(registry.host, named_by_operator=True)
    first.manifest(REPOSITORY, "v1", within())
    for number in range(CLIENTS):
        registries.client(f"host{number}.example", named_by_operator=True)
    assert registries.client(registry.host, named_by_operator=True) is not first
    assert first.manifest(REPOSITORY, "v1", within()) is not None  # whoever still holds it may use it
    assert registry.connections == 2


def test_connections_are_closed_only_when_the_last_question_is_answered(
    asker: Asker, registry: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport(trusting(), lambda _: True)
    closed: list[str] = []
    adapter = transport.session.get_adapter(registry.url)
    monkeypatch.setattr(adapter, "close", lambda: closed.append("closed"))

    def answer(_: object) -> Reply:
        transport.close()
        closed.append("asked")
        return FOUND

    registry.on(TAGGED, answer)
    transport.get(f"{registry.url}{TAGGED}", {}, 10, within())
    assert closed == ["asked", "closed"]
    monkeypatch.undo()
    transport.close()


def test_closing_in_the_middle_of_many_questions_breaks_none(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, FOUND)
    client = asker.client(registry)

    def ask(number: int) -> bool:
        client.close()
        return client.manifest(REPOSITORY, "v1", within()) is not None and number >= 0

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    assert asker.slept == []


def test_a_host_is_listed_once(asker: Asker) -> None:
    with pytest.raises(ConfigError, match="listed twice"):
        asker.registries(RegistryEntry("a.example"), RegistryEntry("a.example"))


@pytest.mark.parametrize("content", [None, b"", b"not PEM", b"\xff", b"x" * (1024 * 1024 + 1)])
def test_a_ca_file_that_cannot_be_used_stops_the_start(asker: Asker, tmp_path: Path, content: bytes | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match="caFile"):
        asker.registries(RegistryEntry("a.example", ca_file))


def test_docker_hub_is_asked_at_its_registry(asker: Asker) -> None:
    client = asker.registries().client("docker.io", named_by_operator=True)
    assert str(client._routes.origin) == "https://registry-1.docker.io"


def test_no_token_is_ever_logged(asker: Asker, registry: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")  # which the server's own configuration silences
    tokens = TokenServer(registry)
    tokens.guard(REPOSITORY, "v1", b"{}")
    client = asker.client(registry)
    client.manifest(REPOSITORY, "v1", within())
    tokens.valid.clear()
    client.manifest(REPOSITORY, "v1", within())
    assert caplog.text
    assert not [token for token in ("token-0", "token-1", "Bearer") if token in caplog.text]
    assert "token-1" not in repr(client.auth.__dict__)


def test_the_stand_ins_for_addresses_are_what_the_tests_say() -> None:
    assert [classify(address) for address in (PUBLIC, METADATA, "127.0.0.1", "8.8.8.8")] == [
        AddressClass.PUBLIC,
        AddressClass.NEVER,
        AddressClass.PRIVATE,
        AddressClass.PUBLIC,
    ]
