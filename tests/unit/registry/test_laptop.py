"""What ``docker login`` left on a laptop, and the programs that it names: real scripts, run as docker runs them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry import laptop
from gate.registry.credentials import Credential, Kind
from gate.registry.laptop import FRESH_SECONDS, HELPER_BYTES, KEPT_SECONDS, DockerLogins, Home

HOST = "us-docker.pkg.dev"
REPOSITORY = "acme/config"
ANSWER = '{"ServerURL": "x", "Username": "_dcgcloud_token", "Secret": "sesame"}'


@dataclass(slots=True)
class Laptop:
    """A home with a docker configuration, and a PATH with helpers that note the servers they are asked for."""

    folder: Path
    now: float = 0.0
    logins: DockerLogins = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        environ = {"HOME": str(self.folder), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        self.logins = DockerLogins(Home.of(environ), lambda: self.now)

    def config(self, **content: object) -> None:
        (self.folder / ".docker").mkdir(exist_ok=True)
        (self.folder / ".docker" / "config.json").write_text(json.dumps(content))

    def helper(self, name: str, script: str) -> None:
        path = self.folder / "bin" / f"docker-credential-{name}"
        path.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> "{self.folder}/asked"\n{script}\n')
        path.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        noted = self.folder / "asked"
        return noted.read_text().splitlines() if noted.exists() else []

    def find(self, host: str = HOST, *, fresh: bool = False, seconds: float = 10.0) -> Credential | None:
        return self.logins.credential(host, REPOSITORY, Deadline.after(seconds, time.monotonic), fresh=fresh)


@pytest.fixture
def here(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path)


def refused(here: Laptop, *, seconds: float = 10.0) -> str:
    with pytest.raises(UnavailableError) as caught:
        here.find(seconds=seconds)
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
    assert "sesame" not in caught.value.message
    return caught.value.message


def test_the_helper_of_a_host_is_asked_for_it(here: Laptop) -> None:
    here.config(credHelpers={HOST: "gcloud"}, credsStore="other")
    here.helper("gcloud", f"echo '{ANSWER}'")
    found = here.find()
    assert found == Credential(
        "sesame", 'the credential helper "docker-credential-gcloud"', Kind.PASSWORD, "_dcgcloud_token"
    )
    assert here.asked == [f"get {HOST}"]


def test_the_store_is_asked_for_every_other_host(here: Laptop) -> None:
    here.config(credHelpers={HOST: "gcloud"}, credsStore="store")
    here.helper("store", f"echo '{ANSWER}'")
    assert here.find("r.example:5000") is not None
    assert here.asked == ["get r.example:5000"]


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
def test_docker_hubs_helper_is_asked_for_the_server_that_docker_asks_for(here: Laptop, key: str) -> None:
    here.config(credHelpers={key: "hub"})
    here.helper("hub", f"echo '{ANSWER}'")
    assert here.find("registry-1.docker.io") is not None
    assert here.asked == ["get https://index.docker.io/v1/"]


def test_an_identity_token_of_a_helper_is_one(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", """echo '{"ServerURL": "x", "Username": "<token>", "Secret": "sesame"}'""")
    found = here.find()
    assert found is not None
    assert (found.kind, found.token) == (Kind.IDENTITY, "sesame")


def test_what_a_helper_does_not_know_is_looked_for_in_the_file(here: Laptop) -> None:
    here.config(credsStore="store", auths={HOST: {"username": "bob", "password": "pw"}, "other.example": {}})
    here.helper("store", 'echo "credentials not found in native keychain"; exit 1')
    found = here.find()
    assert found is not None
    assert (found.username, found.token) == ("bob", "pw")
    assert here.find("other.example") is None


def test_an_empty_answer_is_no_credential(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", """echo '{"ServerURL": "x", "Username": "", "Secret": ""}'""")
    assert here.find() is None


def test_a_helper_is_asked_once_in_five_minutes_and_again_when_its_answer_is_refused(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", f"echo '{ANSWER}'")
    for _ in range(3):
        here.find()
    assert len(here.asked) == 1
    here.find(fresh=True)
    assert len(here.asked) == 1
    here.now += FRESH_SECONDS
    here.find(fresh=True)
    assert len(here.asked) == 2
    here.now += KEPT_SECONDS
    here.find()
    assert len(here.asked) == 3


@pytest.mark.parametrize("name", ["../evil", "/bin/evil", "a b", "", "-x", "a;b", "$(x)", "a" * 65, 1, ["x"]])
@pytest.mark.parametrize("where", ["credHelpers", "credsStore"])
def test_a_helper_is_a_name_and_never_a_path_or_a_command(here: Laptop, name: object, where: str) -> None:
    if where == "credsStore" and not name:
        return  # that is how docker writes that there is none
    here.config(**{where: {HOST: name} if where == "credHelpers" else name})
    assert "not the name of one" in refused(here)


def test_a_helper_that_is_not_in_path_is_named(here: Laptop) -> None:
    here.config(credsStore="missing-helper")
    assert '"docker-credential-missing-helper" is not in PATH' in refused(here)


def test_a_helper_that_fails_is_named_and_its_output_is_not_shown(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", "echo sesame; echo sesame >&2; exit 3")
    assert f"see: echo {HOST} | docker-credential-store get" in refused(here)


@pytest.mark.parametrize("output", ["sesame", "[]", '{"Username": 1, "Secret": "sesame"}', '{"Username": "a:b", "Secret": "sesame"}', ""])  # fmt: skip  # noqa: E501
def test_an_answer_that_is_no_credential_is_an_error_that_does_not_show_it(here: Laptop, output: str) -> None:
    here.config(credsStore="store")
    here.helper("store", f"echo '{output}'")
    assert "did not answer with a credential" in refused(here)


def test_a_helper_without_end_is_ended(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", "exec cat /dev/zero")
    assert str(HELPER_BYTES) in refused(here)


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & echo started", "exec sleep 60 >&-"])
def test_a_helper_that_hangs_is_ended_at_the_deadline_with_what_it_started(here: Laptop, script: str) -> None:
    here.config(credsStore="store")
    here.helper("store", script)
    began = time.monotonic()
    assert "did not end within 10 seconds, or the deadline" in refused(here, seconds=0.3)
    assert time.monotonic() - began < 3


def test_a_helper_has_ten_seconds_at_most(here: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert laptop.HELPER_SECONDS == 10
    monkeypatch.setattr(laptop, "HELPER_SECONDS", 0.2)
    here.config(credsStore="store")
    here.helper("store", "sleep 60")
    began = time.monotonic()
    refused(here, seconds=60)
    assert time.monotonic() - began < 3


def test_a_server_name_is_no_part_of_a_command(here: Laptop) -> None:
    here.config(credsStore="store")
    here.helper("store", f"echo '{ANSWER}'")
    assert here.find("x.example") is not None
    assert here.asked == ["get x.example"]


def test_a_home_without_a_configuration_has_no_credentials(here: Laptop) -> None:
    assert here.find() is None


def test_a_configuration_that_cannot_be_read_is_not_silently_anonymous(here: Laptop) -> None:
    here.config(auths="sesame")
    assert "your docker configuration cannot be read" in refused(here)


def test_the_environment_says_where_things_are(tmp_path: Path) -> None:
    home = Home.of({"HOME": "/home/a", "PATH": "/bin"})
    assert home.docker_config == Path("/home/a/.docker/config.json")
    assert home.google_credentials == Path("/home/a/.config/gcloud/application_default_credentials.json")
    moved = Home.of({"HOME": "/home/a", "DOCKER_CONFIG": "/d", "CLOUDSDK_CONFIG": "/g"})
    assert moved.docker_config == Path("/d/config.json")
    assert moved.google_credentials == Path("/g/application_default_credentials.json")
    nowhere = Home.of({})
    assert (nowhere.docker_config, nowhere.google_credentials) == (None, None)
    assert DockerLogins(nowhere, lambda: 0.0).credential(HOST, REPOSITORY, Deadline(1, lambda: 0), fresh=False) is None
