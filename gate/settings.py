"""The settings, parsed once from the environment into a frozen value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gate.core.errors import ConfigError
from gate.core.quote import quote

PREFIX = "GATE_"
GOOGLE_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"  # where Google's own tools and GitHub Actions name that file
DEFAULT_AUTH = ("dockerconfig", "token", "google", "anonymous")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_PORT_MAX = 65535

# Every setting, its default and what it is: the table of the README is held against it by a test.
DEFAULTS: dict[str, str | None] = {
    "GATE_POLICY": None,
    "GATE_KEY": "/cosign-key/cosign.pub",
    "GATE_REGISTRIES": None,
    "GATE_AUTH": ",".join(DEFAULT_AUTH),
    "GATE_DOCKERCONFIG_FILE": "/var/run/secrets/dockerconfig/.dockerconfigjson",
    "GATE_DOCKERCONFIG_SECRET": "registry-dockerconfig",
    "GATE_TOKEN_FILE": "/var/run/secrets/token",
    "GATE_TOKEN_SECRET": "registry-token",
    "GATE_TOKEN_HOSTS": "*.pkg.dev,gcr.io,*.gcr.io",
    "GATE_GOOGLE_CREDENTIALS_FILE": None,
    "GATE_PORT": "10250",
    "GATE_TLS": "files",
    "GATE_TLS_CERT": "/tls/tls.crt",
    "GATE_TLS_KEY": "/tls/tls.key",
    "GATE_METRICS_PORT": "9090",
    "GATE_LOG_LEVEL": "info",
    "GATE_STATE_DIR": "/var/lib/gate",
    "GATE_EVENTS": "off",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set; see the README's table for the meaning of each."""

    policy: Path | None
    key: Path
    registries: Path | None
    auth: tuple[str, ...]
    auth_is_explicit: bool
    dockerconfig_file: Path
    dockerconfig_file_is_explicit: bool
    dockerconfig_secret: str
    token_file: Path
    token_file_is_explicit: bool
    token_secret: str
    token_hosts: tuple[str, ...]
    google_credentials_file: Path | None
    port: int
    tls_cert: Path
    tls_key: Path
    metrics_port: int
    log_level: str
    state_dir: Path
    events: bool

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in ``environ``, or raise ConfigError that names the variable and what it wants.

        An empty value counts as unset. A variable that begins with GATE_ and is not a setting is refused, because a
        misspelt setting would otherwise silently leave a default in force.
        """
        given = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
        unknown = sorted(set(given) - set(DEFAULTS))
        if unknown:
            raise ConfigError(f"{unknown[0]} is not a setting of gate; remove it or correct its spelling")
        values = {name: given.get(name, default) for name, default in DEFAULTS.items()}
        _one_of(values, "GATE_TLS", ("files",))
        return cls(
            policy=_optional_path(values["GATE_POLICY"]),
            key=_path(values, "GATE_KEY"),
            registries=_optional_path(values["GATE_REGISTRIES"]),
            auth=_auth(values),
            auth_is_explicit="GATE_AUTH" in given,
            dockerconfig_file=_path(values, "GATE_DOCKERCONFIG_FILE"),
            dockerconfig_file_is_explicit="GATE_DOCKERCONFIG_FILE" in given,
            dockerconfig_secret=_text(values, "GATE_DOCKERCONFIG_SECRET"),
            token_file=_path(values, "GATE_TOKEN_FILE"),
            token_file_is_explicit="GATE_TOKEN_FILE" in given,
            token_secret=_text(values, "GATE_TOKEN_SECRET"),
            token_hosts=_list(values, "GATE_TOKEN_HOSTS"),
            google_credentials_file=_optional_path(
                values["GATE_GOOGLE_CREDENTIALS_FILE"] or environ.get(GOOGLE_CREDENTIALS, "").strip()
            ),
            port=_port(values, "GATE_PORT"),
            tls_cert=_path(values, "GATE_TLS_CERT"),
            tls_key=_path(values, "GATE_TLS_KEY"),
            metrics_port=_port(values, "GATE_METRICS_PORT"),
            log_level=_one_of(values, "GATE_LOG_LEVEL", _LOG_LEVELS),
            state_dir=_path(values, "GATE_STATE_DIR"),
            events=_one_of(values, "GATE_EVENTS", ("off", "on")) == "on",
        )


def from_environment(overrides: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment, ``overrides`` (the command line) winning; raises as parse()."""
    return Settings.parse({**os.environ, **(overrides or {})})


def kubernetes_environment() -> dict[str, str]:
    """Return what Kubernetes puts into a pod's environment to name its API server."""
    names = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    return {name: os.environ[name] for name in names if name in os.environ}


def kubeconfig_environment() -> str:
    """Return where kubectl finds its configuration: KUBECONFIG (one file or several), else ~/.kube/config."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def google_environment() -> dict[str, str]:
    """Return what the environment says of Google's metadata server, to google-auth and so to gate."""
    names = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP", "NO_GCE_CHECK")
    return {name: os.environ[name] for name in names if name in os.environ}


def home_environment() -> dict[str, str]:
    """Return what tells a command line where its user's programs are and keep credentials; a server never asks."""
    names = ("HOME", "PATH", "DOCKER_CONFIG", "CLOUDSDK_CONFIG")
    return {name: os.environ[name] for name in names if name in os.environ}


def _text(values: Mapping[str, str | None], name: str) -> str:
    return values[name] or ""


def _path(values: Mapping[str, str | None], name: str) -> Path:
    return Path(_text(values, name))


def _optional_path(value: str | None) -> Path | None:
    return Path(value) if value else None


def _list(values: Mapping[str, str | None], name: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in _text(values, name).split(","))
    if not all(items):
        raise ConfigError(f"{name} is {quote(_text(values, name))}; write names separated by single commas")
    return items


def _one_of(values: Mapping[str, str | None], name: str, choices: tuple[str, ...]) -> str:
    value = _text(values, name)
    if value not in choices:
        raise ConfigError(f"{name} is {quote(value)}; it takes {' or '.join(choices)}")
    return value


def _port(values: Mapping[str, str | None], name: str) -> int:
    value = _text(values, name)
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(_PORT_MAX)) and 0 < int(value) <= _PORT_MAX):
        raise ConfigError(f"{name} is {quote(value)}; it takes a port from 1 to {_PORT_MAX}")
    return int(value)


def _auth(values: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the sources of credentials in order."""
    sources = _list(values, "GATE_AUTH")
    for source in sources:
        if source not in DEFAULT_AUTH:
            raise ConfigError(f"GATE_AUTH names {quote(source)}; it takes {', '.join(DEFAULT_AUTH)}")
    if len(set(sources)) != len(sources):
        raise ConfigError("GATE_AUTH names a source twice")
    return sources
