"""What is composed from which settings: credentials, registries, policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate import compose
from gate.compose import places
from gate.core.errors import ConfigError
from gate.demo import certificate
from gate.demo.signer import Signer
from gate.settings import Settings

HOST = "us-docker.pkg.dev"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "cosign.pub").write_bytes(Signer.generate().public_pem)
    (tmp_path / "token").write_text("ya29.token\n")
    return tmp_path


def settings(files: Path, **changes: str) -> Settings:
    return Settings.parse({"GATE_KEY": str(files / "cosign.pub"), **changes})


def test_without_a_policy_file_the_key_is_the_policy(files: Path) -> None:
    (rule,) = compose.load_policy(settings(files)).rules
    assert rule.name == "every-image"


def test_a_policy_file_wins_over_the_key(files: Path) -> None:
    (files / "policy.yaml").write_text(
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
        "sources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        'rules: [{name: mine, match: {images: ["**"]}, static: fail}]\n'
    )
    (rule,) = compose.load_policy(settings(files, GATE_POLICY=str(files / "policy.yaml"))).rules
    assert rule.name == "mine"


def test_the_webhook_starts_without_a_token_when_none_is_required(files: Path) -> None:
    assert compose.application(settings(files, GATE_TOKEN_FILE="")) is not None


@pytest.mark.parametrize("changes", [{"GATE_AUTH": "token"}, {"GATE_AUTH": "token", "GATE_TOKEN_FILE": "gone"}, {"GATE_TOKEN_FILE": "gone"}])  # fmt: skip  # noqa: E501
def test_a_token_that_is_required_and_missing_stops_the_start(files: Path, changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"the token file .* cannot be read"):
        compose.application(settings(files, **changes))


def test_a_token_that_is_there_lets_it_start(files: Path) -> None:
    token = str(files / "token")
    assert compose.application(settings(files, GATE_AUTH="token", GATE_TOKEN_FILE=token)) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- host: a.example\n- host: a.example\n", "listed twice"),
        ("- host: a.example\n  credentials: {google: false}\n", "credentials.google: expected true"),
        ("- host: a.example\n  colour: red\n", "colour: is not a field that gate knows"),
        ("- host: a.example\n  caFile: gone.pem\n", "gone.pem"),
        ("host: a.example\n", "the file holds a list of registries"),
    ],
)
def test_a_wrong_registries_file_stops_the_start(files: Path, text: str, message: str) -> None:
    (files / "registries.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        compose.application(settings(files, GATE_REGISTRIES=str(files / "registries.yaml")))


def test_events_outside_a_pod_stop_the_start(files: Path) -> None:
    with pytest.raises(ConfigError, match="does not run in a pod"):
        compose.application(settings(files, GATE_EVENTS="on"))


def test_a_token_given_on_the_command_line_wins_over_the_settings(files: Path) -> None:
    given = compose.CommandLine(frozenset({HOST}), token=b"not one token")
    with (
        pytest.raises(ConfigError, match="--token-file does not hold one access token"),
        compose.open_gate(settings(files), given),
    ):
        pytest.fail("it was not a token")


def test_plain_http_is_for_the_hosts_of_the_command_line_alone(files: Path) -> None:
    (files / "registries.yaml").write_text("- host: listed.example:5000\n")
    listed = settings(files, GATE_REGISTRIES=str(files / "registries.yaml"))
    named = compose.CommandLine(frozenset({"named.example:5000"}), plain_http=True)
    entries = {entry.host: entry.plain_http for entry in places.entries_of(listed, named)}
    assert entries == {"listed.example:5000": False, "named.example:5000": True}


def test_a_registries_file_that_goes_bad_while_gate_runs_shows_in_readiness_detail(files: Path) -> None:
    path = files / "registries.yaml"
    path.write_text("- host: listed.example\n")
    client = compose.application(settings(files, GATE_REGISTRIES=str(path))).test_client()
    path.write_text("- host: listed.example\n  colour: red\n")
    told = client.get("/readyz?verbose")
    assert told.status_code == 200
    assert "colour: is not a field that gate knows" in told.text
    assert client.get("/readyz").text == "ok\n"


def test_a_policy_that_goes_bad_while_gate_runs_shows_in_readiness_detail(files: Path) -> None:
    client = compose.application(settings(files)).test_client()
    (files / "cosign.pub").write_bytes(b"")
    told = client.get("/readyz?verbose")
    assert told.status_code == 200
    assert "the policy is wrong and the one before stays in force: the public key" in told.text
    assert client.get("/readyz").text == "ok\n"


def test_a_registries_file_that_is_right_is_not_mentioned(files: Path) -> None:
    path = files / "registries.yaml"
    path.write_text("- host: listed.example\n")
    client = compose.application(settings(files, GATE_REGISTRIES=str(path))).test_client()
    assert client.get("/readyz?verbose").text == "ok\n"


def test_a_rollout_that_has_no_effect_shows_in_readiness_detail(files: Path) -> None:
    path = files / "policy.yaml"
    policy = (
        "apiVersion: gate/v1\nkind: Policy\nnoMatch: deny\n"
        "sources: {git: deny, helmHttp: deny, helmOci: deny}\n"
        'rules: [{name: mine, match: {images: ["**"]}, static: fail}]\n'
    )
    path.write_text(policy)
    client = compose.application(settings(files, GATE_POLICY=str(path))).test_client()
    assert client.get("/readyz?verbose").text == "ok\n"
    path.write_text(policy + "rollout: {mode: warn, until: 2001-01-01T00:00:00Z, reason: first weeks}\n")
    client = compose.application(settings(files, GATE_POLICY=str(path))).test_client()
    told = client.get("/readyz?verbose").text
    assert told == "ok\nthe rollout until 2001-01-01T00:00:00Z has no effect: it is past\n"
    assert client.get("/readyz").text == "ok\n"


def test_plain_http_drops_the_authorities_of_a_listed_host(files: Path) -> None:
    (files / "ca.pem").write_bytes(certificate.issue(datetime.now(UTC)).authority)
    (files / "registries.yaml").write_text(f"- host: named.example:5000\n  caFile: {files / 'ca.pem'}\n")
    listed = settings(files, GATE_REGISTRIES=str(files / "registries.yaml"))
    named = compose.CommandLine(frozenset({"named.example:5000"}), plain_http=True)
    (entry,) = places.entries_of(listed, named)
    assert (entry.plain_http, entry.ca_file) == (True, None)
