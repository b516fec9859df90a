"""What a person reads in the status of a denied object, byte for byte: Config Sync's words around gate's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.images import Repository
from tests.e2e.kubeapi import must
from tests.e2e.pki import Authority
from tests.e2e.private import HTPASSWD, RELOAD_SECONDS, Guarded, ask, guarded, listed
from tests.e2e.processes import free_port, wait_until
from tests.e2e.reconciler import Reconciler, nomos_status
from tests.e2e.registries import Tls, running_distribution
from tests.e2e.syncs import oci
from tests.e2e.webhook import GateServer, plain_http
from tests.e2e.workbench import Workbench

TAG_SIGNER = SIGNERS[0]
KINDS = pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])

# What the administrator of a RootSync is told. {image} has no tag.
OPERATOR = {
    "no signature": (
        'no signatures found for {image}@{digest}: rule "every-image" requires one; sign this digest, not a tag'
        " (of a multi-platform image, the index that the source names or its linux/amd64 manifest)"
    ),
    "wrong key": (
        'untrusted: none of the 1 signatures found for {image}@{digest} satisfies rule "every-image" (1 bad-signature:'
        " the signature does not verify with the key); sign with the key that the rule names"
    ),
    "wrong digest": (
        'untrusted: none of the 1 signatures found for {image}@{digest} satisfies rule "every-image" (1 wrong-digest:'
        " the signature is valid, but it signs another digest); sign this digest; a signature cannot be copied from"
        " another image"
    ),
    "unreachable": (
        'registry-unreachable: {image}@{digest} could not be verified for rule "every-image": "127.0.0.1" cannot be'
        " reached: the connection was refused; check the registry's name, DNS, the network policy and its certificate"
    ),
    "unauthorised": (
        'registry-unauthorized: {image}@{digest} could not be verified for rule "every-image": "{host}" refused gate,'
        " which has no credentials for it; give gate's identity read access to the repository, or renew its token"
    ),
}
_LAPSED = "; the exception for {image}@{digest} until 2020-01-01T00:00:00Z has no effect: it is past"
OPERATOR["expired exception"] = OPERATOR["no signature"] + _LAPSED
# What a tenant is told, the owner of a RepoSync: no signer, no answer of a registry, and no difference between an image
# without a signature and one that gate may not read.
_UNSIGNED = (
    "no signatures found for {image}@{digest}: the policy requires one; push the image, sign this digest, not a tag (of"
    " a multi-platform image, the index that the source names or its linux/amd64 manifest), and make sure that gate may"
    " read the repository"
)
_UNTRUSTED = (
    "untrusted: {image}@{digest}: signatures were found for the digest, and no authority of the rule vouches for any of"
    " them; sign the digest with a key of the policy; gate verify IMAGE shows why each one was refused"
)
TENANT = {
    "no signature": _UNSIGNED,
    "wrong key": _UNTRUSTED,
    "wrong digest": _UNTRUSTED,
    "unreachable": (
        "registry-unreachable: {image}@{digest}: no connection to the registry could be made or kept; check the"
        " registry's name, DNS, the network policy and its certificate"
    ),
    "unauthorised": _UNSIGNED,
    "expired exception": _UNSIGNED + _LAPSED,
}
# The policy that GATE_KEY alone stands for, with an exception.
EXCEPTING = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {{git: allow, helmHttp: allow, helmOci: deny}}
rules:
  - name: every-image
    match: {{images: ["**"]}}
    authorities: [{{name: release, key: {{file: {key}}}}}]
exceptions:
  - {{image: "{image}", reason: INC-7, until: 2020-01-01T00:00:00Z}}
"""


@pytest.fixture(scope="module")
def guarded_registry(folder: Path, gate: GateServer) -> Iterator[Guarded]:
    """Return a registry that wants a login which gate does not have."""
    tls = Tls.issued(Authority(folder, "messages-ca"), "messages-registry")
    htpasswd = folder / "messages-htpasswd"
    htpasswd.write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "e2e", "path": str(htpasswd)}}
    with running_distribution(folder, name="messages-registry", tls=tls, auth=auth) as host:
        registry = guarded(folder, host, tls.authority)
        registry.gates.write(None)
        with listed(gate, [registry.entry]):
            yield registry


@contextmanager
def excepting(gate: GateServer, folder: Path, image: str) -> Iterator[None]:
    """Let gate decide by a policy whose exception for ``image`` has lapsed."""
    policy = folder / "lapsed.yaml"
    policy.write_text(EXCEPTING.format(key=gate.environ["GATE_KEY"], image=image))
    gate.stop()
    gate.environ["GATE_POLICY"] = str(policy)
    gate.start()
    try:
        yield
    finally:
        gate.stop()
        del gate.environ["GATE_POLICY"]
        gate.start()


@pytest.fixture
def denied(
    request: pytest.FixtureRequest, bench: Workbench, olareg: str, release: KeyPair, stranger: KeyPair, gate: GateServer
) -> Iterator[tuple[Repository, str]]:
    """Return a repository and a digest in it that gate denies, in the way that is asked for."""
    repository = bench.repository(olareg)
    match request.param:
        case "no signature":
            yield repository, repository.push()
        case "wrong key":
            digest = repository.push()
            TAG_SIGNER.sign(f"{repository}@{digest}", stranger)
            yield repository, digest
        case "wrong digest":
            signed, digest = repository.push(), repository.push()
            TAG_SIGNER.sign(f"{repository}@{signed}", release)
            repository.copy_signature(signed, digest)
            yield repository, digest
        case "unreachable":
            nobody = Repository(f"127.0.0.1:{free_port()}", repository.name)
            digest = f"sha256:{'0' * 64}"
            with listed(gate, [plain_http(nobody.host)]):
                taken_up(bench, gate, f"{nobody}@{digest}", "registry-unreachable")
                yield nobody, digest
        case "unauthorised":
            registry: Guarded = request.getfixturevalue("guarded_registry")
            private = registry.repository(bench)
            digest = private.push()
            taken_up(bench, gate, f"{private}@{digest}", "registry-unauthorized")
            yield private, digest
        case "expired exception":
            digest = repository.push()
            with excepting(gate, request.getfixturevalue("tmp_path"), f"{repository}@{digest}"):
                yield repository, digest


def taken_up(bench: Workbench, gate: GateServer, image: str, reason: str) -> None:
    """Return once gate has taken up what its list of registries says, and so denies ``image`` for ``reason``."""

    def refused() -> bool:
        return not ask(bench, image).ok and gate.decisions()[-1]["reason"] == reason

    wait_until(refused, RELOAD_SECONDS, f"gate denies for {reason}")


def status_text(reconciler: Reconciler) -> str:
    """Return the text of the only source error in the object's status."""
    (error,) = reconciler.read()["status"]["source"]["errors"]
    assert error["code"] == "2002"
    return str(error["errorMessage"])


@KINDS
@pytest.mark.parametrize("denied", OPERATOR, indirect=True)
def test_the_status_says_reason_digest_and_remedy_in_one_line_that_never_changes(
    kind: str, denied: tuple[Repository, str], bench: Workbench, request: pytest.FixtureRequest
) -> None:
    (repository, digest), sync = denied, bench.sync(kind)
    why = request.node.callspec.params["denied"]
    image = f"{repository}:v1"
    must(bench.cluster.admin.create(sync.list_path(), sync.object(oci(image))))
    reconciler = bench.reconciler(sync)
    texts = set()
    for _ in range(3):
        assert not reconciler.announce(digest.removeprefix("sha256:"), f"{image}@{digest}").ok
        texts.add(status_text(reconciler))
    told = (OPERATOR if kind == "RootSync" else TENANT)[why].format(
        image=repository, digest=digest, host=repository.host
    )
    expected = (
        f"KNV2002: failed to patch {kind} annotation: configsync.gke.io/image-to-sync: APIServer error: "
        f'admission webhook "imageverification.webhook.com" denied the request: {told}\n'
        "\n"
        "For more information, see https://g.co/cloud/acm-errors#knv2002"
    )
    (text,) = texts
    assert text == expected
    shown = nomos_status(reconciler.read()).splitlines()
    assert shown[-3] == f"  Error:   {expected.splitlines()[0]}"
    assert shown[1].split() == ["ERROR", digest.removeprefix("sha256:")]
