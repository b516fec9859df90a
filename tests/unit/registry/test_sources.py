"""Which credentials are used where: GATE_AUTH's order, what an entry chooses, and what stops a start."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.credentials import Anonymous, Chain, Credential
from gate.registry.entries import DockerConfigFile, GoogleIdentity, NoCredentials, TokenFile, TokenSecret
from gate.registry.google import HOSTS, Clocks, MetadataServer
from gate.registry.laptop import Home
from gate.registry.sources import Place, Sources
from gate.settings import Settings
from tests.unit.registry.test_federation import FEDERATION, USER

GOOGLE, OTHER = "us-docker.pkg.dev", "r.example:5000"
REPOSITORY = "acme/config"
SOON = Deadline(1.0, lambda: 0.0)
LOGINS = json.dumps({"auths": {OTHER: {"username": "bob", "password": "from docker"}}}).encode()
NOT_ON_GOOGLE = {"NO_GCE_CHECK": "true"}


@dataclass(slots=True)
class Cluster:
    """Secrets of gate's namespace, and which of them were read."""

    secrets: dict[tuple[str, str], bytes] = field(default_factory=dict)
    read: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, name: str, key: str) -> bytes:
        self.read.append((name, key))
        if (name, key) not in self.secrets:
            raise ConfigError(f"there is no Secret {name}")
        return self.secrets[name, key]


def sources(
    folder: Path, cluster: Cluster | None = None, home: Home | None = None, token: bytes | None = None, **changes: str
) -> Sources:
    absent = {"GATE_TOKEN_FILE": "", "GATE_DOCKERCONFIG_FILE": ""}
    settings = Settings.parse({**absent, **changes})
    clocks = Clocks(lambda: 0.0, lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda low, _: low)
    given = None if token is None else (lambda: token)
    return Sources(settings, Place(clocks, NOT_ON_GOOGLE, cluster, "oci-webhook", home, given))


def shown(made: Sources, host: str) -> str | None:
    found = made.build(None).credential(host, REPOSITORY, SOON, fresh=False)
    return None if found is None else found.token


def test_the_first_source_that_has_something_for_a_host_is_used(tmp_path: Path) -> None:
    both = json.dumps({"auths": {GOOGLE: {"username": "bob", "password": "from docker"}}}).encode()
    secrets = {("registry-token", "token"): b"ya29.token", ("registry-dockerconfig", ".dockerconfigjson"): both}
    assert shown(sources(tmp_path, Cluster(secrets)), GOOGLE) == "from docker"
    assert shown(sources(tmp_path, Cluster(secrets), GATE_AUTH="token,dockerconfig"), GOOGLE) == "ya29.token"


def test_each_host_has_its_own_credential(tmp_path: Path) -> None:
    secrets = {("registry-token", "token"): b"ya29.token", ("registry-dockerconfig", ".dockerconfigjson"): LOGINS}
    made = sources(tmp_path, Cluster(secrets))
    assert [shown(made, host) for host in (GOOGLE, OTHER, "other.example")] == ["ya29.token", "from docker", None]


def test_messages_name_the_secret_and_its_namespace(tmp_path: Path) -> None:
    made = sources(tmp_path, Cluster({("registry-token", "token"): b"ya29.token"}))
    found = made.build(None).credential(GOOGLE, REPOSITORY, SOON, fresh=False)
    assert found is not None
    assert found.source == 'the Secret "registry-token" in "oci-webhook"'
    assert "Google access tokens live an hour" in found.refused


def test_mounted_files_come_before_secrets(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(LOGINS)
    (tmp_path / "token").write_text("ya29.file")
    cluster = Cluster()
    files = {"GATE_DOCKERCONFIG_FILE": str(tmp_path / "config"), "GATE_TOKEN_FILE": str(tmp_path / "token")}
    made = sources(tmp_path, cluster, **files)
    assert (shown(made, OTHER), shown(made, GOOGLE)) == ("from docker", "ya29.file")
    assert cluster.read == []


def test_secrets_may_have_other_names(tmp_path: Path) -> None:
    secrets = {("t", "token"): b"ya29.token", ("d", ".dockerconfigjson"): LOGINS}
    made = sources(tmp_path, Cluster(secrets), GATE_TOKEN_SECRET="t", GATE_DOCKERCONFIG_SECRET="d")
    assert (shown(made, OTHER), shown(made, GOOGLE)) == ("from docker", "ya29.token")


def test_sources_of_the_default_that_are_absent_are_skipped(tmp_path: Path) -> None:
    for cluster in (Cluster(), None):
        made = sources(tmp_path, cluster)
        for host in (GOOGLE, OTHER):
            assert shown(made, host) is None


@pytest.mark.parametrize("source", ["dockerconfig", "token", "google"])
@pytest.mark.parametrize("cluster", [Cluster(), None])
def test_a_source_that_is_named_alone_is_required_at_the_start(
    tmp_path: Path, source: str, cluster: Cluster | None
) -> None:
    with pytest.raises(ConfigError):
        sources(tmp_path, cluster, GATE_AUTH=source).build(None)


@pytest.mark.parametrize("setting", ["GATE_DOCKERCONFIG_FILE", "GATE_TOKEN_FILE"])
def test_a_file_that_is_named_is_required_at_the_start(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match="gone"):
        sources(tmp_path, None, **{setting: str(tmp_path / "gone")}).build(None)


def test_what_comes_after_anonymous_is_not_asked(tmp_path: Path) -> None:
    cluster = Cluster({("registry-token", "token"): b"ya29.token"})
    assert shown(sources(tmp_path, cluster, GATE_AUTH="anonymous,token"), GOOGLE) is None
    assert cluster.read == []


def test_without_anonymous_a_host_without_credentials_is_not_asked(tmp_path: Path) -> None:
    made = sources(tmp_path, Cluster({("registry-token", "token"): b"ya29.token"}), GATE_AUTH="token")
    assert shown(made, GOOGLE) == "ya29.token"
    with pytest.raises(UnavailableError, match=r'no credentials for "r\.example:5000"') as caught:
        shown(made, OTHER)
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)


def test_a_source_that_cannot_be_read_is_not_passed_over() -> None:
    class Unreadable:
        def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the API server does not answer")

    with pytest.raises(UnavailableError, match="does not answer"):
        Chain([Unreadable(), Anonymous()], anonymous=True).credential(GOOGLE, REPOSITORY, SOON, fresh=False)


def test_registries_share_what_gate_auth_reads(tmp_path: Path) -> None:
    made = sources(tmp_path, Cluster())
    assert made.build(None) is made.build(None)
    assert made.build(GoogleIdentity()) is made.build(GoogleIdentity())


def test_an_entry_chooses_its_own_credentials(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(LOGINS)
    (tmp_path / "token").write_text("ya29.file\n")
    cluster = Cluster({("own", "token"): b"ya29.own"})
    made = sources(tmp_path, cluster)
    found = {
        choice: made.build(choice).credential(OTHER, REPOSITORY, SOON, fresh=False)
        for choice in (
            DockerConfigFile(tmp_path / "config"),
            TokenFile(tmp_path / "token"),
            TokenSecret("own"),
            NoCredentials(),
        )
    }
    tokens = [None if credential is None else credential.token for credential in found.values()]
    assert tokens == ["from docker", "ya29.file", "ya29.own", None]  # the token goes to the host that it was given for


@pytest.mark.parametrize("choice", [DockerConfigFile(Path("/gone")), TokenFile(Path("/gone")), TokenSecret("gone")])
@pytest.mark.parametrize("cluster", [Cluster(), None])
def test_credentials_that_an_entry_chooses_must_be_there(
    tmp_path: Path, choice: DockerConfigFile | TokenFile | TokenSecret, cluster: Cluster | None
) -> None:
    with pytest.raises(ConfigError, match="gone"):
        sources(tmp_path, cluster).build(choice)


def test_googles_identity_that_an_entry_chooses_is_not_silently_anonymous(tmp_path: Path) -> None:
    source = sources(tmp_path).build(GoogleIdentity())
    with pytest.raises(UnavailableError, match="no metadata server"):
        source.credential(GOOGLE, REPOSITORY, Deadline(5.0, lambda: 0.0), fresh=False)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("us-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("pkg.dev", False),
        ("a.b.pkg.dev", False),
        ("us-docker.pkg.dev:8443", False),
        ("us-docker.pkg.dev.evil.example", False),
        ("evilgcr.io", False),
        ("docker.io", False),
        ("r.example", False),
    ],
)
def test_googles_tokens_are_for_googles_registries_alone(tmp_path: Path, host: str, expected: bool) -> None:
    assert HOSTS.match(host) is expected
    source = sources(tmp_path).build(GoogleIdentity())
    if not expected:
        assert source.credential(host, REPOSITORY, SOON, fresh=False) is None


def test_a_wrong_credentials_file_stops_a_server(tmp_path: Path) -> None:
    (tmp_path / "user.json").write_text(json.dumps(USER))
    for name in ("user.json", "gone.json"):
        with pytest.raises(ConfigError, match="the credentials file"):
            sources(tmp_path, None, GATE_GOOGLE_CREDENTIALS_FILE=str(tmp_path / name)).build(None)
    (tmp_path / "federation.json").write_text(json.dumps(FEDERATION))
    sources(tmp_path, None, GATE_GOOGLE_CREDENTIALS_FILE=str(tmp_path / "federation.json")).build(None)


def laptop(folder: Path) -> Home:
    (folder / ".docker").mkdir()
    (folder / ".docker" / "config.json").write_bytes(LOGINS)
    return Home.of({"HOME": str(folder), "PATH": "/nowhere"})


def test_a_command_line_has_what_docker_login_left(tmp_path: Path) -> None:
    assert shown(sources(tmp_path, home=laptop(tmp_path)), OTHER) == "from docker"
    assert shown(sources(tmp_path), OTHER) is None


def test_a_command_line_that_requires_docker_logins_starts_without_a_mounted_file(tmp_path: Path) -> None:
    assert shown(sources(tmp_path, home=laptop(tmp_path), GATE_AUTH="dockerconfig"), OTHER) == "from docker"


def test_the_token_of_the_command_line_comes_first_and_goes_to_the_token_hosts_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ya29.file")
    made = sources(tmp_path, home=laptop(tmp_path), token=b"ya29.given\n", GATE_TOKEN_FILE=str(tmp_path / "token"))
    assert [shown(made, host) for host in (GOOGLE, OTHER, "other.example")] == ["ya29.given", "from docker", None]


def test_a_wrong_token_on_the_command_line_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--token-file does not hold one access token"):
        sources(tmp_path, token=b"two words").build(None)


@pytest.mark.parametrize("variable", ["GCE_METADATA_HOST", "GCE_METADATA_IP"])
def test_a_wrong_place_of_the_metadata_server_is_a_config_error(variable: str) -> None:
    with pytest.raises(ConfigError, match="GCE_METADATA"):
        MetadataServer.of({variable: "user@evil.example"})


def test_the_metadata_server_is_where_googles_library_looks_for_it() -> None:
    server = MetadataServer.of({})
    assert str(server.token_origin) == "http://metadata.google.internal"
    assert str(server.ping_origin) == "http://169.254.169.254"
    assert not server.denied
    moved = MetadataServer.of({"GCE_METADATA_HOST": "127.0.0.1:1", "GCE_METADATA_IP": "127.0.0.1:2"})
    assert (str(moved.token_origin), str(moved.ping_origin)) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
