"""Workload identity on GKE: the real google-auth against a metadata server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gate.demo.signer import Signer

ROOT = Path(__file__).parents[3]
HOST = "us-docker.pkg.dev"
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"


@dataclass(slots=True)
class Lines:
    """A process that speaks JSON, a line at a time."""

    process: subprocess.Popen[str]

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait(5)}"
        told: dict[str, Any] = json.loads(line)
        return told

    def write(self, value: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()
        return self.read()


@contextlib.contextmanager
def running(module: str, *arguments: str, **environment: str) -> Iterator[Lines]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield Lines(process)
            assert process.stdin is not None
            process.stdin.close()
            process.send_signal(signal.SIGCONT)
            process.kill()
    finally:
        process.kill()


@dataclass(slots=True)
class Server:
    lines: Lines
    port: int
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"GCE_METADATA_HOST": f"127.0.0.1:{self.port}", "GCE_METADATA_IP": f"127.0.0.1:{self.port}"}

    def requests(self, count: int) -> list[str]:
        """Return the paths of the next ``count`` requests."""
        self.seen += [self.lines.read() for _ in range(count)]
        return [each["path"] for each in self.seen[-count:]]

    def stop(self) -> None:
        self.lines.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.lines.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def metadata_server(*arguments: str) -> Iterator[Server]:
    with running("tests.fakes.metadata", *arguments) as lines:
        yield Server(lines, lines.read()["port"])


@contextlib.contextmanager
def gate(environment: dict[str, str], **settings: str) -> Iterator[Lines]:
    absent = {"GATE_TOKEN_FILE": "", "GATE_DOCKERCONFIG_FILE": "", **settings}
    with running("tests.integration.registry.asking_google", **environment, **absent) as lines:
        started = lines.read()
        assert started == {"threads": 1, "imported": False}  # nothing runs before a fork
        yield lines


def ask(asker: Lines, host: str = HOST, **more: object) -> dict[str, Any]:
    (answer,) = asker.write({"host": host, **more})["answers"]
    return answer


def test_the_pods_identity_is_shown_after_one_ping_one_look_and_one_token() -> None:
    with metadata_server() as server, gate(server.environment) as asker:
        assert ask(asker)["token"] == "ya29.metadata-0"
        assert server.requests(3) == ["/", ACCOUNT, f"{ACCOUNT}token"]
        assert server.seen[1]["query"] == {"recursive": ["true"]}
        assert server.seen[2]["query"] == {"scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
        again = ask(asker)
        assert (again["token"], again["source"]) == ("ya29.metadata-0", "the metadata server (workload identity)")
        assert again["seconds"] < 0.1


def test_sixty_four_threads_cold_ask_the_metadata_server_once() -> None:
    with metadata_server() as server, gate(server.environment) as asker:
        answers = asker.write({"host": HOST, "threads": 64})["answers"]
        assert {answer["token"] for answer in answers} == {"ya29.metadata-0"}
        assert server.requests(3) == ["/", ACCOUNT, f"{ACCOUNT}token"]
        ask(asker, sleep=0.2)
        server.lines.process.terminate()
        assert server.lines.process.stdout is not None
        assert server.lines.process.stdout.read() == ""  # and nobody asked anything else


def test_other_hosts_cause_no_question_and_no_import() -> None:
    with metadata_server() as server, gate(server.environment) as asker:
        said = asker.write({"host": "registry.example"})
        assert (said["answers"][0]["token"], said["imported"]) == (None, False)
        ask(asker)
        assert server.requests(1) == ["/"]  # the first that it has seen


def test_a_token_that_comes_first_leaves_googles_library_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ya29.file")
    nobody = {"GCE_METADATA_HOST": "127.0.0.1:1", "GCE_METADATA_IP": "127.0.0.1:1"}
    with gate(nobody, GATE_TOKEN_FILE=str(tmp_path / "token")) as asker:
        said = asker.write({"host": HOST})
        assert (said["answers"][0]["token"], said["imported"]) == ("ya29.file", False)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_where_there_is_no_metadata_server_nobody_waits_for_it() -> None:
    place = f"127.0.0.1:{free_port()}"
    with gate({"GCE_METADATA_HOST": place, "GCE_METADATA_IP": place}) as asker:
        first, second = ask(asker), ask(asker)
        assert (first["token"], second["token"]) == (None, None)
        assert first["seconds"] < 1
        assert second["seconds"] < 0.1
        assert asker.write({"host": HOST})["imported"] is False


def test_a_black_hole_in_place_of_a_metadata_server_costs_one_second_once() -> None:
    with metadata_server() as server:
        server.stop()
        with gate(server.environment) as asker:
            answers = asker.write({"host": HOST, "threads": 16})["answers"]
            assert {answer["token"] for answer in answers} == {None}
            assert max(answer["seconds"] for answer in answers) < 2
            assert ask(asker)["seconds"] < 0.1


def test_what_answers_but_is_no_metadata_server_is_none(tmp_path: Path) -> None:
    with running("http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port := free_port())):
        place = f"127.0.0.1:{port}"
        for _ in range(50):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
        with gate({"GCE_METADATA_HOST": place, "GCE_METADATA_IP": place}) as asker:
            assert ask(asker)["token"] is None


def test_a_metadata_server_that_dies_is_told_of_well_before_the_deadline() -> None:
    with metadata_server("--life", "2") as server, gate(server.environment) as asker:
        assert ask(asker)["token"] == "ya29.metadata-0"
        server.stop()
        dead = ask(asker, sleep=2.1)
        assert (dead["reason"], dead["outage"]) == ("registry-unauthorized", False)
        assert dead["error"] == "no access token came from the metadata server (workload identity) within 3 seconds"
        assert dead["seconds"] < 3.5
        hurried = ask(asker, deadline=0.2)
        assert "error" in hurried
        assert hurried["seconds"] < 0.5
        server.resume()
        assert ask(asker, sleep=0.5)["token"] == "ya29.metadata-1"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_identity_that_gets_no_token_is_told_at_once(status: int) -> None:
    with metadata_server("--status", str(status)) as server, gate(server.environment) as asker:
        refused = ask(asker)
        assert refused["error"].endswith(f'the metadata server gave none: "127.0.0.1:{server.port}" answered {status}')
        assert (refused["reason"], refused["outage"]) == ("registry-unauthorized", False)
        assert refused["seconds"] < 2  # the library would try again for half a minute


def test_gate_auth_google_starts_with_a_token(tmp_path: Path) -> None:
    with metadata_server() as server:
        absent = {"GATE_AUTH": "google", **server.environment}
        with running("tests.integration.registry.asking_google", **absent) as lines:
            assert lines.read()["threads"] == 1  # what is checked at the start needs no thread
            assert server.requests(3) == ["/", ACCOUNT, f"{ACCOUNT}token"]
            assert ask(lines)["token"] == "ya29.metadata-0"


def test_federation_without_its_token_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": str(tmp_path / "gone")},
            }
        )
    )
    with gate({}, GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "federation.json")) as asker:
        assert f'the subject token file "{tmp_path / "gone"}" cannot be read' in ask(asker)["error"]


def test_a_server_reads_nothing_that_a_users_programs_left(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".config" / "gcloud").mkdir(parents=True)
    helper = tmp_path / "docker-credential-evil"
    helper.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    helper.chmod(0o755)
    logins = {
        "auths": {HOST: {"username": "bob", "password": "pw"}},
        "credsStore": "evil",
        "credHelpers": {HOST: "evil"},
    }
    (tmp_path / ".docker" / "config.json").write_text(json.dumps(logins))
    user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / ".config" / "gcloud" / "application_default_credentials.json").write_text(json.dumps(user))
    script = (
        "import os, sys, gate.server.app\n"
        "from gate import compose\n"
        "from gate.settings import from_environment\n"
        "compose.application(from_environment())\n"
        "sys.exit('gate.registry.laptop' in sys.modules)\n"
    )
    place = f"127.0.0.1:{free_port()}"
    home = {
        "HOME": str(tmp_path),
        "DOCKER_CONFIG": str(tmp_path / ".docker"),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GCE_METADATA_HOST": place,
        "GCE_METADATA_IP": place,
    }
    with gate(home) as asker:
        assert ask(asker)["token"] is None
    assert not (tmp_path / "ran").exists()
    (tmp_path / "cosign.pub").write_bytes(Signer.generate().public_pem)
    environment = {**home, "GATE_KEY": str(tmp_path / "cosign.pub"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "ran").exists()
