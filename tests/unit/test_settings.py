"""Settings: parsed once, refused with the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.settings import DEFAULTS, Settings


def test_nothing_set_gives_the_names_of_the_published_sample() -> None:
    settings = Settings.parse({})
    assert settings.policy is None
    assert settings.key == Path("/cosign-key/cosign.pub")
    assert (settings.tls_cert, settings.tls_key) == (Path("/tls/tls.crt"), Path("/tls/tls.key"))
    assert settings.port == 10250
    assert settings.token_secret == "registry-token"
    assert settings.token_hosts == ("*.pkg.dev", "gcr.io", "*.gcr.io")


def test_credentials_are_looked_for_in_secrets_before_the_identity_of_the_place() -> None:
    settings = Settings.parse({})
    assert settings.auth == ("dockerconfig", "token", "google", "anonymous")
    assert not settings.auth_is_explicit


def test_googles_own_variable_names_the_credentials_file_unless_gates_does() -> None:
    google = {"GOOGLE_APPLICATION_CREDENTIALS": "/theirs.json"}
    assert Settings.parse({}).google_credentials_file is None
    assert Settings.parse(google).google_credentials_file == Path("/theirs.json")
    ours = {**google, "GATE_GOOGLE_CREDENTIALS_FILE": "/ours.json"}
    assert Settings.parse(ours).google_credentials_file == Path("/ours.json")


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.parse({"GATE_PORT": " ", "GATE_POLICY": ""}) == Settings.parse({})


def test_variables_of_other_programs_are_not_looked_at() -> None:
    assert Settings.parse({"PATH": "/bin", "NOTGATE_PORT": "x"}) == Settings.parse({})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GATE_PROT", "1", "GATE_PROT is not a setting of gate; remove it or correct its spelling"),
        ("GATE_PORT", "0", 'GATE_PORT is "0"; it takes a port from 1 to 65535'),
        ("GATE_PORT", "65536", 'GATE_PORT is "65536"; it takes a port from 1 to 65535'),
        ("GATE_PORT", "٣", 'GATE_PORT is "٣"; it takes a port from 1 to 65535'),
        ("GATE_PORT", "tcp://10.0.0.1:80", 'GATE_PORT is "tcp://10.0.0.1:80"; it takes a port from 1 to 65535'),
        ("GATE_METRICS_PORT", "1e3", 'GATE_METRICS_PORT is "1e3"; it takes a port from 1 to 65535'),
        ("GATE_LOG_LEVEL", "loud", 'GATE_LOG_LEVEL is "loud"; it takes debug or info or warning or error'),
        ("GATE_TLS", "off", 'GATE_TLS is "off"; it takes files'),
        ("GATE_AUTH", "magic", 'GATE_AUTH names "magic"; it takes dockerconfig, token, google, anonymous'),
        ("GATE_AUTH", "token,token", "GATE_AUTH names a source twice"),
        ("GATE_TOKEN_HOSTS", "a,,b", 'GATE_TOKEN_HOSTS is "a,,b"; write names separated by single commas'),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.parse({variable: value})
    assert caught.value.message == message


@pytest.mark.parametrize("variable", [name for name in DEFAULTS if name not in {"GATE_TLS", "GATE_LOG_LEVEL"}])
def test_every_setting_reaches_a_field(variable: str) -> None:
    values = {"GATE_PORT": "4", "GATE_METRICS_PORT": "5", "GATE_AUTH": "anonymous", "GATE_EVENTS": "on"}
    changed = Settings.parse({variable: values.get(variable, "/elsewhere")})
    assert changed != Settings.parse({})
