"""Redirects: few, without credentials, never to where nobody may point."""

from __future__ import annotations

import pytest

from gate.core.errors import UnavailableError
from gate.core.oci import Digest
from gate.core.reasons import Reason
from tests.fakes.hostile import Authority, Hostile, Raw, Reply, redirect
from tests.integration.registry.conftest import METADATA, REPOSITORY, Asker, described, within
from tests.integration.registry.tokens import FixedToken

BLOB = b"payload"
DESCRIPTOR = described(BLOB)
ASKED = f"/v2/{REPOSITORY}/blobs/{DESCRIPTOR.digest}"


def fetch(asker: Asker, server: Hostile, *, allow_private: bool = False) -> bytes:
    credentials = FixedToken("sesame")
    client = asker.client(server, allow_private=allow_private, credentials=credentials)
    return client.blob(REPOSITORY, DESCRIPTOR, 100, within())


def refused(asker: Asker, server: Hostile, *, allow_private: bool = False) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        fetch(asker, server, allow_private=allow_private)
    assert not caught.value.outage
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_relative_redirect_stays_at_the_registry_and_keeps_authorization(
    asker: Asker, secure: Hostile, status: int
) -> None:
    secure.on(ASKED, redirect("/artifacts-downloads/x?sig=1%2F2", status))
    secure.on("/artifacts-downloads/x", Reply(200, BLOB))
    assert fetch(asker, secure) == BLOB
    assert secure.seen[1].target == "/artifacts-downloads/x?sig=1%2F2"
    assert secure.seen[1].headers["authorization"] == "Bearer sesame"


def test_another_port_is_another_party(asker: Asker, secure: Hostile, authority: Authority) -> None:
    with Hostile(tls=authority.server) as neighbour:
        secure.on(ASKED, redirect(f"{neighbour.url}/storage"))
        neighbour.on("/storage", Reply(200, BLOB))
        assert fetch(asker, secure, allow_private=True) == BLOB
        assert "authorization" not in neighbour.seen[0].headers


def test_credentials_do_not_come_back_from_another_party(asker: Asker, secure: Hostile, public: Hostile) -> None:
    secure.on(ASKED, redirect(f"{public.url}/away"))
    public.on("/away", redirect(f"{secure.url}/v2/other/secret"))
    secure.on("/v2/other/secret", Reply(200, BLOB))
    assert fetch(asker, secure, allow_private=True) == BLOB
    assert "authorization" not in secure.seen[1].headers


def test_another_party_cannot_lead_back_to_a_private_registry(asker: Asker, secure: Hostile, public: Hostile) -> None:
    secure.on(ASKED, redirect(f"{public.url}/away"))
    public.on("/away", redirect(f"{secure.url}/v2/other/secret"))
    assert refused(asker, secure).reason is Reason.REGISTRY_ADDRESS
    assert len(secure.seen) == 1


def test_a_redirect_to_a_private_address_is_refused(asker: Asker, secure: Hostile, authority: Authority) -> None:
    with Hostile(tls=authority.server) as internal:
        secure.on(ASKED, redirect(f"{internal.url}/x"))
        assert refused(asker, secure).reason is Reason.REGISTRY_ADDRESS
        assert internal.connections == 0


def test_allow_private_admits_a_redirect_to_a_private_address(
    asker: Asker, secure: Hostile, authority: Authority
) -> None:
    with Hostile(tls=authority.server) as internal:
        secure.on(ASKED, redirect(f"{internal.url}/x"))
        internal.on("/x", Reply(200, BLOB))
        assert fetch(asker, secure, allow_private=True) == BLOB


def test_allow_private_never_admits_a_metadata_server(asker: Asker, secure: Hostile, authority: Authority) -> None:
    with Hostile(METADATA, tls=authority.server) as metadata:
        secure.on(ASKED, redirect(f"{metadata.url}/x"))
        assert refused(asker, secure, allow_private=True).reason is Reason.REGISTRY_ADDRESS
        assert metadata.connections == 0


def test_a_redirect_of_a_plain_registry_to_another_plain_host_is_refused(asker: Asker, registry: Hostile) -> None:
    with Hostile() as other:
        registry.on(ASKED, redirect(f"{other.url}/x"))
        assert refused(asker, registry, allow_private=True).reason is Reason.REGISTRY_ADDRESS
        assert other.connections == 0


def test_a_fourth_redirect_is_refused(asker: Asker, registry: Hostile) -> None:
    registry.on(ASKED, redirect("/1"))
    for hop in range(1, 5):
        registry.on(f"/{hop}", redirect(f"/{hop + 1}"))
    assert refused(asker, registry).reason is Reason.REGISTRY_ERROR
    assert registry.paths() == [ASKED, "/1", "/2", "/3"]


def test_three_redirects_are_followed(asker: Asker, registry: Hostile) -> None:
    registry.on(ASKED, redirect("/1"))
    registry.on("/1", redirect("/2"))
    registry.on("/2", redirect("/3"))
    registry.on("/3", Reply(200, BLOB))
    assert fetch(asker, registry) == BLOB


def test_the_body_of_a_redirect_is_not_read_for_its_target(asker: Asker, registry: Hostile) -> None:
    endless = (
        b"HTTP/1.1 302 Found\r\nLocation: /1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10\r\n" + bytes(16) + b"\r\n"
    )
    registry.on(ASKED, Raw(endless, then="stall"))
    registry.on("/1", Reply(200, BLOB))
    assert fetch(asker, registry) == BLOB


def test_a_404_of_another_host_does_not_say_that_the_registry_has_nothing(
    asker: Asker, secure: Hostile, public: Hostile
) -> None:
    path = f"/v2/{REPOSITORY}/manifests/v1"
    secure.on(path, redirect(f"{public.url}/gone"))
    with pytest.raises(UnavailableError) as caught:
        asker.client(secure).manifest(REPOSITORY, "v1", within())
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_ERROR, False)


def test_a_404_after_a_redirect_within_the_registry_is_its_own(asker: Asker, secure: Hostile) -> None:
    secure.on(f"/v2/{REPOSITORY}/manifests/v1", redirect("/mirror/v1"))
    assert asker.client(secure).manifest(REPOSITORY, "v1", within()) is None


@pytest.mark.parametrize("status", [401, 403])
def test_another_hosts_refusal_is_not_about_gates_credentials(
    asker: Asker, secure: Hostile, public: Hostile, status: int
) -> None:
    secure.on(ASKED, redirect(f"{public.url}/expired"))
    public.on("/expired", Reply(status, b"", (("WWW-Authenticate", f'Bearer realm="{public.url}/token"'),)))
    assert refused(asker, secure).reason is Reason.REGISTRY_ERROR
    assert public.paths() == ["/expired"]


def test_a_redirected_manifest_must_have_its_digest(asker: Asker, secure: Hostile, public: Hostile) -> None:
    wanted = Digest.of(b"{}")
    secure.on(f"/v2/{REPOSITORY}/manifests/{wanted}", redirect(f"{public.url}/m"))
    public.on("/m", Reply(200, b"{ }"))
    with pytest.raises(UnavailableError, match="digest"):
        asker.client(secure).manifest(REPOSITORY, wanted, within())
