"""``gate audit`` against an API server and a registry on loopback: what is said, and the exit code."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from gate.cli import main
from gate.core.oci import Digest
from gate.demo import layouts
from gate.demo.registry import serve
from gate.demo.signer import Signer
from gate.demo.store import Store
from tests.fakes.audits import synced
from tests.fakes.hostile import Authority, Hostile, Reply, make_authority
from tests.fakes.kube import MANAGER, PATHS, manager, pages
from tests.fakes.reviews import Document, git, oci

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "audit.schema.json").read_text())
VERIFY = Resource.from_contents(json.loads((DOCS / "verify.schema.json").read_text()))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, registry=Registry().with_resource("verify.schema.json", VERIFY))
ASKS, NEVER_ASKS = (f"gcr.io/config-management-release/reconciler-manager:v1.{minor}.0" for minor in (20, 19))
REPOSITORY = "acme/config"
TOKEN = "of-whoever-sits-there"
EXEC = "client.authentication.k8s.io/v1"


class Scene:
    """A cluster and a registry, and who signs in it."""

    def __init__(self, cluster: Hostile, store: Store, host: str, folder: Path) -> None:
        self.cluster, self.store, self.folder = cluster, store, folder
        self.image = f"{host}/{REPOSITORY}:v1"
        self.signer = Signer.generate()
        self.key = folder / "cosign.pub"
        self.key.write_bytes(self.signer.public_pem)
        self.registries = folder / "registries.yaml"
        self.registries.write_text(f"- host: {host}\n  plainHTTP: true\n  allowPrivate: true\n")
        cluster.on(MANAGER, manager(ASKS))
        self.lists()

    def lists(self, *, root: list[Document] | None = None, repo: list[Document] | None = None) -> None:
        self.cluster.on(PATHS["RootSync"], pages(root or []))
        self.cluster.on(PATHS["RepoSync"], pages(repo or []))

    def push(self, content: str = "", *, signed: bool = False) -> Digest:
        config = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
        digest = self.store.push_manifest(REPOSITORY, layouts.image(config, [], annotations={"content": content}))
        if signed:
            self.signer.sign_tag(self.store, REPOSITORY, digest)
        return digest

    def kubeconfig(self, authority: Authority) -> Path:
        data = base64.b64encode(authority.ca_file.read_bytes()).decode()
        cluster = {"server": self.cluster.url, "certificate-authority-data": data}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "current-context": "here",
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("kube"), "127.0.0.1")


@pytest.fixture
def scene(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    store = Store()
    with Hostile(tls=authority.server) as cluster, serve(store) as host:
        made = Scene(cluster, store, host, tmp_path)
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(authority)))
        yield made


def audit(scene: Scene, *words: str) -> int:
    return main(["audit", "--key", str(scene.key), "--registries", str(scene.registries), *words])


def as_json(scene: Scene, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = audit(scene, "-o", "json", *words)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(document)
    return code, document


def test_a_thousand_objects_are_listed_in_pages_and_each_digest_is_asked_about_once(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = scene.push("good", signed=True), scene.push("bad")
    root = [synced(oci(scene.image), (bad if index == 77 else good).hex, name=f"s{index}") for index in range(500)]
    repo = [synced(oci(scene.image), good.hex, kind="RepoSync", name=f"s{index}") for index in range(500)]
    scene.lists(root=root, repo=repo)
    code, printed = as_json(scene, capsys)
    assert code == 1
    assert printed["counts"] == {"verified": 999, "exempt": 0, "denied": 1, "unavailable": 0}
    assert [each["name"] for each in printed["objects"] if each["verdict"] == "denied"] == ["s77"]
    assert printed["objects"][0]["reason"] == "no-signature"
    assert printed["objects"][0]["digest"] == str(bad)
    assert len(scene.cluster.seen) == 5 + 5 + 1
    signatures = [each for each in scene.store.recent_requests if each.endswith(f"{good.tag}.sig")]
    assert len(signatures) == 1


def test_the_table_says_what_is_denied_first_and_why_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = scene.push("good", signed=True), scene.push("bad")
    root = [synced(oci(scene.image), digest.hex, name=name) for name, digest in (("a", good), ("b", bad), ("c", bad))]
    scene.lists(root=[*root, synced(git(), "0" * 40, name="d")])
    assert audit(scene) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == ["VERDICT", "REASON", "OBJECT", "SYNCED", "NOW"]
    assert [line.split()[0] for line in lines[1:5]] == ["denied", "denied", "verified", "exempt"]
    assert lines[1].endswith(f"RootSync config-management-system/b  {scene.image}@{bad}")
    assert printed.out.count("no signatures found") == 1
    assert lines[-2:] == [
        "objects: 4 (1 verified, 1 exempt, 2 denied, 0 unavailable)",
        f"Config Sync: {ASKS} asks before it syncs",
    ]
    assert printed.err == f"gate audit: asking {scene.cluster.url} as the kubeconfig {scene.folder / 'kubeconfig'}\n"


def test_a_cluster_in_which_all_is_verified_is_exit_code_0(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.lists(root=[synced(oci(scene.image), scene.push(signed=True).hex)])
    code, printed = as_json(scene, capsys)
    assert code == 0
    assert printed["configSync"] == {"image": ASKS, "asks": True, "problem": None}
    assert scene.cluster.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_registry_that_does_not_answer_is_exit_code_2_and_no_denial(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.lists(root=[synced(oci("127.0.0.1:1/acme/config"), "a" * 64)])
    code, printed = as_json(scene, capsys)
    assert (code, printed["counts"]["unavailable"]) == (2, 1)


def test_a_denial_is_a_finding_also_where_something_else_could_not_be_told(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = synced(oci("127.0.0.1:1/acme/config"), "a" * 64)
    scene.lists(root=[lost, synced(oci(scene.image), scene.push().hex, name="b")])
    code, printed = as_json(scene, capsys)
    assert code == 1
    assert [each["verdict"] for each in printed["objects"]] == ["denied", "unavailable"]


def test_a_config_sync_that_never_asks_is_a_finding(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.cluster.on(MANAGER, manager(NEVER_ASKS))
    assert audit(scene) == 1
    assert f"Config Sync: {NEVER_ASKS} never asks before it syncs" in capsys.readouterr().out


def test_a_config_sync_that_cannot_be_seen_is_said_to_be_unknown(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.cluster.on(MANAGER, Reply(403))
    code, printed = as_json(scene, capsys)
    assert (code, printed["configSync"]["asks"], printed["configSync"]["image"]) == (0, None, None)
    assert "gate may not read" in printed["configSync"]["problem"]
    assert audit(scene) == 0
    assert "Config Sync: unknown version (gate may not read" in capsys.readouterr().out


def test_a_candidate_policy_says_what_it_would_deny(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.lists(root=[synced(oci(scene.image), scene.push(signed=True).hex), synced(git(), "0" * 40, name="g")])
    candidate = scene.folder / "candidate.yaml"
    candidate.write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\nsources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        'rules: [{name: r, match: {images: ["elsewhere.example/**"]}, static: pass}]\n'
    )
    words = ["audit", "-o", "json", "--policy", str(candidate), "--registries", str(scene.registries)]
    assert main(words) == 1
    reasons = [each["reason"] for each in json.loads(capsys.readouterr().out)["objects"]]
    assert reasons == ["source-denied", "no-rule"]
    assert audit(scene) == 0


def test_a_list_that_is_not_whole_is_exit_code_2_and_prints_no_result(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.lists(root=[synced(oci(scene.image), scene.push().hex)])
    scene.cluster.on(PATHS["RepoSync"], Reply(500))
    assert audit(scene) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "answered 500 when asked for reposyncs" in printed.err


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{", "a: 1", '{"clusters": [], "users": [], "contexts": [], "current-context": "x"}']
)
def test_a_kubeconfig_that_names_no_cluster_is_misuse(
    text: str | None, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene.folder / "other"
    if text is not None:
        path.write_text(text)
    assert audit(scene, "--kubeconfig", str(path)) == 2
    assert "names no API server that gate can ask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"server": 5}, "names no API server that gate can ask"),
        ({"server": {}}, "names no API server that gate can ask"),
        ({"proxy-url": 5}, "names no API server that gate can ask"),
        ({"proxy-url": "x"}, "names no API server that gate can ask"),
        ({"certificate-authority-data": 5}, "names no API server that gate can ask"),
    ],
)
def test_a_kubeconfig_of_another_shape_is_misuse_and_no_bug(
    cluster: dict[str, object], said: str, scene: Scene, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert misshapen(scene, authority, "clusters", "cluster", cluster, capsys).count(said) == 1


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"exec": 5}, "has a plugin that gives no credentials"),
        ({"exec": {"apiVersion": EXEC, "command": 5}}, "has a plugin that gives no credentials"),
        ({"exec": {"apiVersion": EXEC, "command": "false"}}, "has a plugin that gives no credentials"),
        ({"exec": {"apiVersion": EXEC, "command": "no-such-plugin"}}, "has a plugin that gives no credentials"),
        ("x", "names no API server that gate can ask"),
    ],
)
def test_a_user_that_has_no_credentials_though_the_kubeconfig_says_so_is_not_asked_as_nobody(
    user: object, said: str, scene: Scene, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert misshapen(scene, authority, "users", "user", user, capsys).count(said) == 1
    assert scene.cluster.seen == []


def misshapen(
    scene: Scene, authority: Authority, section: str, entry: str, value: object, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return the one line that is said of a kubeconfig in which an entry of a section is another one."""
    path = scene.kubeconfig(authority)
    document = json.loads(path.read_text())
    (named,) = document[section]
    named[entry] = {**named[entry], **value} if section == "clusters" and isinstance(value, dict) else value
    path.write_text(json.dumps(document))
    assert audit(scene, "--kubeconfig", str(path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'gate audit: the kubeconfig "{path}" ')
    return line


def test_a_context_that_the_kubeconfig_does_not_have_is_misuse(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(scene, "--context", "elsewhere") == 2
    assert 'with the context "elsewhere" names no API server' in capsys.readouterr().err
    assert audit(scene, "--context", "here") == 0


def test_another_authoritys_api_server_is_not_told_the_identity(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = scene.kubeconfig(make_authority(tmp_path / "stranger", "127.0.0.1"))
    assert audit(scene, "--kubeconfig", str(stranger)) == 2
    assert scene.cluster.seen == []


def test_what_tenants_chose_cannot_write_on_the_terminal(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.lists(root=[synced(git("https://x.example/\x1b[2J\u202e"), "0" * 40)])
    assert audit(scene) == 0
    assert "\x1b" not in (printed := capsys.readouterr().out)
    assert "\u202e" not in printed
