"""Registries that the operator lists: client certificates, realms elsewhere, a list that changes while gate runs."""

from __future__ import annotations

import dataclasses
import os
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.client import RegistryClient
from gate.registry.entries import ClientCertificate, RegistryEntry
from gate.registry.registries import Registries
from gate.registry.reload import RegistriesFile, read_registries
from tests.fakes.hostile import Authority, Hostile, Reply, challenge, make_authority, redirect
from tests.integration.registry.conftest import METADATA, PUBLIC, REPOSITORY, Asker, within
from tests.integration.registry.tokens import token_answer

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
FOUND = Reply(200, b"{}")


@pytest.fixture
def identity(authority: Authority, tmp_path: Path) -> ClientCertificate:
    """A certificate of the private authority and its key, in files of their own."""
    key, _, certificate = authority.ca_file.with_name("server.pem").read_text().partition("-----BEGIN CERTIFICATE")
    made = ClientCertificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    made.cert_file.write_text("-----BEGIN CERTIFICATE" + certificate)
    made.key_file.write_text(key)
    return made


def wanting_certificates(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.ca_file.with_name("server.pem"))
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def ask(client: RegistryClient) -> bool:
    return client.manifest(REPOSITORY, "v1", within()) is not None


def refusal(client: RegistryClient) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", within())
    return caught.value


class TestClientCertificates:
    def test_a_registry_that_wants_a_certificate_is_shown_it(
        self, asker: Asker, authority: Authority, identity: ClientCertificate
    ) -> None:
        with Hostile(tls=wanting_certificates(authority)) as server:
            server.on(TAGGED, FOUND)
            entry = RegistryEntry(server.host, authority.ca_file, client=identity)
            assert ask(asker.registries(entry).client(server.host, named_by_operator=True))

    def test_a_certificate_goes_with_the_systems_authorities_too(
        self, asker: Asker, authority: Authority, identity: ClientCertificate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        with Hostile(tls=wanting_certificates(authority)) as server:
            server.on(TAGGED, FOUND)
            entry = RegistryEntry(server.host, client=identity)
            assert ask(asker.registries(entry).client(server.host, named_by_operator=True))

    def test_a_registry_that_is_shown_none_refuses_and_that_is_no_outage(
        self, asker: Asker, authority: Authority
    ) -> None:
        with Hostile(tls=wanting_certificates(authority)) as server:
            # In TLS 1.3 the refusal races with the request: now and then all that is seen is a closed connection.
            errors = (refusal(asker.client(server)) for _ in range(20))
            error = next(error for error in errors if error.reason is not Reason.REGISTRY_UNREACHABLE)
            assert (error.reason, error.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
            assert "clientCertFile" in error.message
            assert server.seen == []

    def test_the_certificate_is_not_shown_to_hosts_that_the_registry_names(
        self, asker: Asker, authority: Authority, identity: ClientCertificate, secure: Hostile
    ) -> None:
        with Hostile(PUBLIC, tls=wanting_certificates(authority)) as storage:
            storage.on("/x", FOUND)
            secure.on(TAGGED, redirect(f"{storage.url}/x"))
            entry = RegistryEntry(secure.host, authority.ca_file, client=identity)
            refusal(asker.registries(entry).client(secure.host, named_by_operator=True))
            assert storage.connections > 0
            assert storage.seen == []

    def test_the_certificate_is_not_shown_to_a_realm_that_the_operator_lists(
        self, asker: Asker, authority: Authority, identity: ClientCertificate, secure: Hostile
    ) -> None:
        with Hostile(PUBLIC, tls=wanting_certificates(authority)) as realm:
            secure.on(TAGGED, challenge(f'Bearer realm="{realm.url}/token"'))
            entry = RegistryEntry(secure.host, authority.ca_file, client=identity, realm_allow=(realm.host,))
            refusal(asker.registries(entry).client(secure.host, named_by_operator=True))
            assert realm.connections > 0
            assert realm.seen == []

    @pytest.mark.parametrize("with_ca_file", [True, False])
    def test_the_certificate_for_one_registry_is_not_shown_to_another(
        self,
        asker: Asker,
        authority: Authority,
        identity: ClientCertificate,
        monkeypatch: pytest.MonkeyPatch,
        with_ca_file: bool,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        with Hostile(tls=wanting_certificates(authority)) as other:
            ca_file = authority.ca_file if with_ca_file else None
            registries = asker.registries(RegistryEntry("a.example", ca_file, client=identity))
            refusal(registries.client(other.host, named_by_operator=True))
            assert other.connections > 0
            assert other.seen == []

    @pytest.mark.parametrize("spoiled", ["cert_file", "key_file"])
    @pytest.mark.parametrize("content", [None, b"", b"not PEM", b"x" * (1024 * 1024 + 1)])
    def test_a_certificate_that_cannot_be_used_stops_the_start(
        self, asker: Asker, identity: ClientCertificate, spoiled: str, content: bytes | None
    ) -> None:
        path: Path = getattr(identity, spoiled)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"clientCertFile|clientKeyFile"):
            asker.registries(RegistryEntry("a.example", client=identity))

    def test_a_key_of_another_certificate_stops_the_start(
        self, asker: Asker, identity: ClientCertificate, tmp_path: Path
    ) -> None:
        other = make_authority(tmp_path / "other", "127.0.0.1").ca_file.with_name("server.pem")
        with pytest.raises(ConfigError, match="clientKeyFile"):
            asker.registries(RegistryEntry("a.example", client=replace(identity, key_file=other)))

    def test_an_encrypted_key_stops_the_start_and_asks_nobody_for_its_password(
        self, asker: Asker, identity: ClientCertificate
    ) -> None:
        key = serialization.load_pem_private_key(identity.key_file.read_bytes(), None)
        encryption = serialization.BestAvailableEncryption(b"sesame")
        formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        identity.key_file.write_bytes(key.private_bytes(*formats, encryption))
        with pytest.raises(ConfigError, match="unencrypted"):
            asker.registries(RegistryEntry("a.example", client=identity))


class TestRealms:
    """127.0.0.1 is the registry; a realm at another address is another party, unless the operator lists it."""

    def entry(self, server: Hostile, authority: Authority, *realms: str) -> RegistryEntry:
        return RegistryEntry(server.host, authority.ca_file, realm_allow=realms)

    @pytest.mark.parametrize("address", [PUBLIC, "127.0.0.4"])
    def test_a_realm_that_the_operator_lists_is_believed_at_a_private_address_too(
        self, asker: Asker, secure: Hostile, tmp_path: Path, address: str
    ) -> None:
        authority = make_authority(tmp_path / "both", "127.0.0.1", address)
        with Hostile(tls=authority.server) as registry, Hostile(address, tls=authority.server) as realm:
            realm.on("/token", token_answer(token="abc"))
            registry.on(TAGGED, challenge(f'Bearer realm="{realm.url}/token"'), FOUND)
            entry = self.entry(registry, authority, realm.host)
            assert ask(asker.registries(entry).client(registry.host, named_by_operator=True))
            assert registry.seen[1].headers["authorization"] == "Bearer abc"

    def test_a_realm_on_a_port_that_is_not_listed_is_another_party(
        self, asker: Asker, authority: Authority, secure: Hostile, public: Hostile
    ) -> None:
        secure.on(TAGGED, challenge(f'Bearer realm="{public.url}/token"'))
        registries = asker.registries(self.entry(secure, authority, PUBLIC, f"{PUBLIC}:1"))
        assert refusal(registries.client(secure.host, named_by_operator=True)).reason is Reason.REGISTRY_ADDRESS
        assert public.connections == 0

    def test_a_realm_that_is_listed_for_one_registry_is_not_believed_by_another(
        self, asker: Asker, authority: Authority, secure: Hostile, public: Hostile
    ) -> None:
        with Hostile(tls=authority.server) as other:
            other.on(TAGGED, challenge(f'Bearer realm="{public.url}/token"'))
            entries = self.entry(secure, authority, public.host), self.entry(other, authority)
            client = asker.registries(*entries).client(other.host, named_by_operator=True)
            assert refusal(client).reason is Reason.REGISTRY_ADDRESS
            assert public.connections == 0

    def test_a_listed_realm_may_not_be_spoken_to_over_http(
        self, asker: Asker, authority: Authority, secure: Hostile
    ) -> None:
        with Hostile(PUBLIC) as realm:
            secure.on(TAGGED, challenge(f'Bearer realm="{realm.url}/token"'))
            client = asker.registries(self.entry(secure, authority, realm.host)).client(
                secure.host, named_by_operator=True
            )
            assert refusal(client).reason is Reason.REGISTRY_ADDRESS
            assert realm.connections == 0

    def test_no_list_admits_a_metadata_server(self, asker: Asker, authority: Authority, secure: Hostile) -> None:
        with Hostile(METADATA, tls=authority.server) as metadata:
            secure.on(TAGGED, challenge(f'Bearer realm="{metadata.url}/token"'))
            client = asker.registries(self.entry(secure, authority, metadata.host)).client(
                secure.host, named_by_operator=True
            )
            assert refusal(client).reason is Reason.REGISTRY_ADDRESS
            assert metadata.connections == 0

    def test_a_listed_realm_does_not_admit_redirects_to_it(
        self, asker: Asker, authority: Authority, secure: Hostile
    ) -> None:
        with Hostile(tls=authority.server) as internal:
            secure.on(TAGGED, redirect(f"{internal.url}/x"))
            client = asker.registries(self.entry(secure, authority, internal.host)).client(
                secure.host, named_by_operator=True
            )
            assert refusal(client).reason is Reason.REGISTRY_ADDRESS
            assert internal.connections == 0


class TestUpdates:
    def test_the_client_of_a_host_that_has_not_changed_stays(self, asker: Asker, registry: Hostile) -> None:
        registry.on(TAGGED, FOUND)
        entry = RegistryEntry(registry.host, plain_http=True)
        registries = asker.registries(entry, RegistryEntry("a.example"))
        assert ask(registries.client(registry.host, named_by_operator=True))
        assert registries.update([entry, RegistryEntry("b.example")]) == ("a.example", "b.example")
        assert ask(registries.client(registry.host, named_by_operator=True))
        assert registry.connections == 1

    @pytest.mark.parametrize("change", [{"allow_private": True}, {"realm_allow": ("a.example",)}])
    def test_the_connections_of_a_changed_host_are_replaced(
        self, asker: Asker, registry: Hostile, change: dict[str, object]
    ) -> None:
        registry.on(TAGGED, FOUND)
        entry = RegistryEntry(registry.host, plain_http=True)
        registries = asker.registries(entry)
        assert ask(registries.client(registry.host, named_by_operator=True))
        assert registries.update([dataclasses.replace(entry, **change)]) == (registry.host,)  # type: ignore[arg-type]  # a table
        assert ask(registries.client(registry.host, named_by_operator=True))
        assert registry.connections == 2

    def test_the_idle_connections_of_a_changed_host_are_closed_at_once(self, asker: Asker, registry: Hostile) -> None:
        registry.on(TAGGED, FOUND)
        entry = RegistryEntry(registry.host, plain_http=True)
        registries = asker.registries(entry)
        client = registries.client(registry.host, named_by_operator=True)
        assert ask(client)
        registries.update([replace(entry, allow_private=True)])
        ends = time.monotonic() + 2
        while registry.open and time.monotonic() < ends:
            time.sleep(0.005)
        assert not registry.open
        assert ask(client)  # whoever still holds it may use it

    def test_a_request_in_flight_is_answered_though_its_host_changes(self, asker: Asker, registry: Hostile) -> None:
        entry = RegistryEntry(registry.host, plain_http=True)
        registries = asker.registries(entry)

        def answer(_: object) -> Reply:
            registries.update([replace(entry, allow_private=True)])
            return FOUND

        registry.on(TAGGED, answer)
        assert ask(registries.client(registry.host, named_by_operator=True))
        assert (len(registry.seen), asker.slept) == (1, [])

    def test_a_wrong_set_leaves_every_client_as_it_is(self, asker: Asker, registry: Hostile) -> None:
        registry.on(TAGGED, FOUND)
        entry = RegistryEntry(registry.host, plain_http=True)
        registries = asker.registries(entry)
        client = registries.client(registry.host, named_by_operator=True)
        with pytest.raises(ConfigError):
            registries.update([replace(entry, allow_private=True), RegistryEntry("a.example", Path("/gone"))])
        assert registries.client(registry.host, named_by_operator=True) is client

    def test_a_host_that_is_listed_no_more_is_a_tenants_again(self, asker: Asker, registry: Hostile) -> None:
        registry.on(TAGGED, FOUND)
        registries = asker.registries(RegistryEntry(registry.host, plain_http=True))
        assert ask(registries.client(registry.host, named_by_operator=False))
        registries.update([])
        assert refusal(registries.client(registry.host, named_by_operator=False)).reason is Reason.REGISTRY_ADDRESS


class TestFiles:
    """The whole way from a file on disk to a connection."""

    def listed(self, asker: Asker, path: Path) -> tuple[Registries, RegistriesFile]:
        entries = read_registries(path)
        registries = asker.registries(*entries)
        return registries, RegistriesFile(path, entries, registries.update, lambda: time.monotonic() + asker.now)

    def test_a_renewed_authority_works_without_a_restart(self, asker: Asker, secure: Hostile, tmp_path: Path) -> None:
        secure.on(TAGGED, FOUND)
        stranger = make_authority(tmp_path / "stranger")
        (tmp_path / "ca.pem").write_bytes(stranger.ca_file.read_bytes())
        (tmp_path / "registries.yaml").write_text(f"- host: {secure.host}\n  caFile: ca.pem\n")
        registries, file = self.listed(asker, tmp_path / "registries.yaml")
        assert not refusal(registries.client(secure.host, named_by_operator=True)).outage
        (tmp_path / "ca.pem").write_bytes(asker.authority.ca_file.read_bytes())
        file.look()
        assert ask(registries.client(secure.host, named_by_operator=True))

    def test_half_a_renewal_keeps_the_certificate_that_was_good(
        self, asker: Asker, authority: Authority, identity: ClientCertificate, tmp_path: Path
    ) -> None:
        text = "- host: {}\n  caFile: {}\n  clientCertFile: tls.crt\n  clientKeyFile: tls.key\n"
        with Hostile(tls=wanting_certificates(authority)) as server:
            server.on(TAGGED, FOUND)
            (tmp_path / "registries.yaml").write_text(text.format(server.host, authority.ca_file))
            registries, file = self.listed(asker, tmp_path / "registries.yaml")
            key = identity.key_file.read_bytes()
            identity.key_file.write_bytes(b"half of a")
            assert "clientKeyFile" in (file.problem() or "")
            assert ask(registries.client(server.host, named_by_operator=True))
            identity.key_file.write_bytes(key)
            os.utime(identity.key_file)
            asker.now += 2
            assert file.problem() is None
            assert ask(registries.client(server.host, named_by_operator=True))
