"""Registries as private clouds have them: TLS by a private CA, docker's logins, token servers, rate limits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.e2e.cosign import SIGNERS, KeyPair, Login, Signer
from tests.e2e.images import Access, Repository
from tests.e2e.pki import Authority
from tests.e2e.private import (
    HTPASSWD,
    PASSWORD,
    USER,
    Guarded,
    admitted_soon,
    ask,
    guarded,
    listed,
    refused_soon,
)
from tests.e2e.registries import Tls, running_distribution, running_olareg
from tests.e2e.token_server import TokenServer, running_token_server
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench

TAG_SIGNER, _, BUNDLE_SIGNER = SIGNERS
SIGNED_WITH = pytest.mark.parametrize("signer", [TAG_SIGNER, BUNDLE_SIGNER], ids=lambda signer: signer.name)
REQUESTS_A_SECOND = 40  # more than gate makes for one image, less than somebody who uses a quota up
WRONG_PASSWORD = "battery staple"


@pytest.fixture(scope="module")
def tls(folder: Path) -> Tls:
    """Return the certificate of every registry here, by an authority that nobody else knows."""
    return Tls.issued(Authority(folder, "registries-ca"), "registries")


@pytest.fixture(scope="module")
def tokens(tls: Tls) -> Iterator[TokenServer]:
    """Return a token server that knows one user."""
    with running_token_server(tls, {USER: PASSWORD}) as running:
        yield running


@pytest.fixture(scope="module")
def by_password(folder: Path, tls: Tls) -> Iterator[Guarded]:
    """Return distribution with an htpasswd file."""
    htpasswd = folder / "htpasswd"
    htpasswd.write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "e2e", "path": str(htpasswd)}}
    with running_distribution(folder, name="htpasswd-registry", tls=tls, auth=auth) as host:
        yield guarded(folder, host, tls.authority)


@pytest.fixture(scope="module")
def by_token(folder: Path, tls: Tls, tokens: TokenServer) -> Iterator[Guarded]:
    """Return distribution with the token server."""
    auth = tokens.mint.registry_auth(folder, tokens.realm)
    with running_distribution(folder, name="token-registry", tls=tls, auth=auth) as host:
        # By the name that its realm has: the password is for nobody else.
        yield guarded(folder, host.replace("127.0.0.1", "localhost"), tls.authority, tokens.mint)


@pytest.fixture(scope="module")
def referrers(folder: Path, tls: Tls) -> Iterator[dict[str, str]]:
    """Return two olaregs over TLS, with and without the referrers API."""
    with contextlib.ExitStack() as stack:
        yield {
            each: stack.enter_context(
                running_olareg(folder, f"--api-referrer={each}", name=f"olareg-referrer-{each}", tls=tls)
            )
            for each in ("true", "false")
        }


@dataclass(frozen=True, slots=True)
class Limited:
    """A registry that answers so many requests a second, and images in it that are signed."""

    host: str
    images: tuple[str, ...]


@pytest.fixture(scope="module")
def limited(folder: Path, release: KeyPair) -> Iterator[Limited]:
    """Return an olareg with a limit, over what was pushed and signed without one: that is no use of the quota."""
    store = folder / "limited"
    with running_olareg(folder, name="olareg-unlimited", store=store) as host:
        repository = Repository(host, "acme/limited")
        digests = [repository.push() for _ in range(4)]
        for digest in digests:
            TAG_SIGNER.sign(f"{repository}@{digest}", release)
    with running_olareg(folder, "--rate-limit", str(REQUESTS_A_SECOND), name="olareg-limited", store=store) as host:
        yield Limited(host, tuple(f"{host}/{repository.name}@{digest}" for digest in digests))


@pytest.fixture(scope="module", autouse=True)
def all_listed(
    gate: GateServer, tls: Tls, by_password: Guarded, by_token: Guarded, referrers: dict[str, str], limited: Limited
) -> Iterator[None]:
    """List every registry in the file of the gate that runs already."""
    entries = [by_password.entry, by_token.entry, {"host": limited.host, "plainHTTP": True}]
    entries += [{"host": host, "caFile": str(tls.authority)} for host in referrers.values()]
    with listed(gate, entries):
        yield


@pytest.fixture(params=["by_password", "by_token"])
def registry(request: pytest.FixtureRequest) -> Guarded:
    """Return either registry that wants a login."""
    found: Guarded = request.getfixturevalue(request.param)
    return found


@SIGNED_WITH
def test_signatures_behind_a_private_authority_and_dockers_login_count_and_their_absence_is_noticed(
    signer: Signer, registry: Guarded, bench: Workbench, gate: GateServer, release: KeyPair
) -> None:
    repository = registry.repository(bench)
    signed = f"{repository}@{repository.push()}"
    signer.sign(signed, release, registry.login)
    admitted_soon(bench, signed)
    refused_soon(bench, gate, repository, "no-signature")


def test_nobody_and_a_wrong_password_are_refused_and_the_right_one_works_without_a_restart(
    registry: Guarded, bench: Workbench, gate: GateServer, release: KeyPair
) -> None:
    repository = registry.repository(bench)
    signed = f"{repository}@{repository.push()}"
    TAG_SIGNER.sign(signed, release, registry.login)
    try:
        registry.gates.write(None)
        refused_soon(bench, gate, repository, "registry-unauthorized", "refused gate, which has no credentials for it")
        registry.gates.write(WRONG_PASSWORD)
        wrong = f'refused the user name and password from the file "{registry.gates.file}": check that they are right'
        refused_soon(bench, gate, repository, "registry-unauthorized", wrong)
    finally:
        registry.gates.write(PASSWORD)
    admitted_soon(bench, signed)
    told = gate.log.read_text()
    assert PASSWORD not in told
    assert WRONG_PASSWORD not in told


def test_the_token_server_is_asked_for_one_repository_and_for_reading_alone(
    by_token: Guarded, tokens: TokenServer, bench: Workbench, gate: GateServer
) -> None:
    repository = by_token.repository(bench)
    refused_soon(bench, gate, repository, "no-signature")
    asked = {each for each in tokens.asked if repository.name in each[0]}
    assert asked == {(f"repository:{repository.name}:pull", USER)}


@pytest.mark.parametrize("api", ["true", "false"])
def test_signatures_are_found_with_the_referrers_api_and_without(
    api: str, referrers: dict[str, str], tls: Tls, bench: Workbench, gate: GateServer, release: KeyPair
) -> None:
    host = referrers[api]
    repository = Repository(host, bench.repository(host).name, Access(tls.authority))
    digest = repository.push()
    listing = requests.get(repository.url(f"/referrers/{digest}"), verify=str(tls.authority), timeout=10)
    assert listing.status_code == {"true": 200, "false": 404}[api]
    BUNDLE_SIGNER.sign(f"{repository}@{digest}", release, Login(tls.authority))
    admitted_soon(bench, f"{repository}@{digest}")
    refused_soon(bench, gate, repository, "no-signature")


def test_a_registry_whose_quota_is_used_up_is_no_missing_signature_and_its_images_are_admitted_afterwards(
    limited: Limited, bench: Workbench, gate: GateServer
) -> None:
    with quota_used_up(limited.host):
        # Now and then the one request that the registry still answers is gate's: then the next image meets the limit.
        for signed in limited.images:
            answer = ask(bench, signed)
            record = gate.decisions()[-1]
            if record["reason"] != "verified":
                break
    assert record["reason"] == "registry-limited", answer.message
    assert "answered 429" in answer.message
    assert "no signatures found" not in answer.message
    admitted_soon(bench, signed)


@contextlib.contextmanager
def quota_used_up(host: str) -> Iterator[None]:
    """Ask ``host`` more often than it answers, from the address that gate has, until the context is left."""
    refused, done = threading.Event(), threading.Event()

    def ask_on() -> None:
        with requests.Session() as session:
            while not done.is_set():
                status = session.get(f"http://{host}/v2/", timeout=10).status_code
                if status == requests.codes.too_many_requests:
                    refused.set()

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        assert refused.wait(10), f"{host} answers everything"
        yield
    finally:
        done.set()
        thread.join()
