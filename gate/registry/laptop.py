"""Credentials that a user's own programs left: for the command line alone. ``gate serve`` never imports this module.

What ``docker login`` wrote, the programs that it names (credential helpers: run by name from PATH, without a shell, for
some seconds, for a bounded answer), and what ``gcloud auth application-default login`` wrote.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.limits import KIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import dockerconfig
from gate.registry.credentials import Credential
from gate.registry.dockerconfig import CONFIG_BYTES, DOCKER_HUB_LOGIN, DockerConfig
from gate.registry.reread import Reread, file_reader

HELPER_SECONDS = 10.0  # one run of a credential helper; gcloud's takes one second, three when it renews a token
HELPER_BYTES = 64 * KIB  # its answer
KEPT_SECONDS = 300.0  # an answer is used again for this long: Google's tokens live for an hour
FRESH_SECONDS = 5.0  # an answer younger than this is not asked for again, even when a registry refuses it
_DOCKER_HUB_SERVER = f"https://{DOCKER_HUB_LOGIN}/v1/"  # what helpers know docker.io by
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # never a path
_NOT_FOUND = b"credentials not found"  # docker-credential-helpers: the exact sentence goes on, and differs


@dataclass(frozen=True, slots=True)
class Home:
    """Where a user's programs keep credentials, and where they are themselves."""

    docker_config: Path | None
    google_credentials: Path | None
    search_path: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Return the places that ``environ`` (HOME, DOCKER_CONFIG, CLOUDSDK_CONFIG, PATH) names."""
        home = Path(environ["HOME"]) if environ.get("HOME") else None
        docker = _directory(environ.get("DOCKER_CONFIG"), home, ".docker")
        cloud = _directory(environ.get("CLOUDSDK_CONFIG"), home, ".config/gcloud")
        return cls(
            None if docker is None else docker / "config.json",
            None if cloud is None else cloud / "application_default_credentials.json",
            environ.get("PATH") or os.defpath,
        )


def _directory(named: str | None, home: Path | None, usual: str) -> Path | None:
    if named:
        return Path(named)
    return None if home is None else home / usual


@dataclass(frozen=True, slots=True)
class UsersConfig:
    """A user's config.json: logins, and the helpers that know others, by server and for all that are left."""

    logins: DockerConfig
    helpers: Mapping[str, str]
    store: str | None

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """Return what ``data`` holds, or raise MalformedError; ``source`` names the file in messages."""
        logins = DockerConfig.parse(data, source)
        document = strictjson.loads_object(data, limit=CONFIG_BYTES)
        named = strictjson.expect_object(document.get("credHelpers") or {}, f'"credHelpers" in {source}')
        helpers = {server: _helper(name, source) for server, name in named.items()}
        store = document.get("credsStore")
        return cls(logins, helpers, _helper(store, source) if store else None)

    def helper(self, host: str) -> tuple[str, str] | None:
        """Return the helper that is asked about ``host``, and the server that it is asked for; None if there is none.

        As docker does: the helper of this very server before the one for all.
        """
        names = dockerconfig.names(host)
        server = host if names == (host,) else _DOCKER_HUB_SERVER
        for name in (server, *names):
            if name in self.helpers:
                return self.helpers[name], server
        return None if self.store is None else (self.store, server)


def _helper(name: strictjson.Json, source: str) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise MalformedError(f"{source} names a credential helper that is not the name of one")
    return name


class DockerLogins:
    """What ``docker login`` left; thread safe."""

    def __init__(self, home: Home, clock: Callable[[], float]) -> None:
        """Read the configuration of ``home`` when it is needed; ``clock`` is monotonic, in seconds."""
        self._search_path = home.search_path
        self._clock = clock
        self._config: Reread[UsersConfig] | None = None
        if home.docker_config is not None:
            source = f"the file {quote(str(home.docker_config))}"
            read = file_reader(home.docker_config, "the file", CONFIG_BYTES)
            self._config = Reread(
                lambda: UsersConfig.parse(read(), source), "your docker configuration", clock, optional=True
            )
        self._asking = threading.Lock()  # held while a helper runs; guards what follows
        self._kept: dict[tuple[str, str], tuple[Credential | None, float]] = {}

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return what the helper for ``host``, else the file has for the repository; see CredentialSource."""
        config = None if self._config is None else self._config.get(fresh=fresh)
        if config is None:
            return None
        helper = config.helper(host)
        found = None if helper is None else self._from_helper(*helper, deadline, fresh=fresh)
        return found or config.logins.find(host, repository)

    def _from_helper(self, name: str, server: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        known = self._kept.get((name, server))
        if not self._asking.acquire(timeout=deadline.remaining()):
            raise _unauthorized(f"the credential helpers of {quote(self._search_path)} did not answer in time")
        try:
            kept = self._kept.get((name, server))
            # Of many who are refused at once, the first asks again.
            refused = fresh and kept is known
            if kept is not None and self._clock() - kept[1] < (FRESH_SECONDS if refused else KEPT_SECONDS):
                return kept[0]
            found = ask_helper(name, server, self._search_path, deadline)
            self._kept[name, server] = found, self._clock()
            return found
        finally:
            self._asking.release()


def ask_helper(name: str, server: str, search_path: str, deadline: Deadline) -> Credential | None:
    """Return what the credential helper has for ``server``, None if it knows nothing; UnavailableError if it fails."""
    program = f"docker-credential-{name}"
    source = f"the credential helper {quote(program)}"
    found = shutil.which(program, path=search_path)
    if found is None:
        raise _unauthorized(f"{source} is not in PATH")
    code, output = _run(found, server, source, deadline)
    if code != 0:
        if _NOT_FOUND in output:
            return None
        raise _unauthorized(f"{source} failed for {quote(server)}; see: echo {server} | {program} get")
    try:
        fields = strictjson.loads_object(output, limit=HELPER_BYTES)
        username, secret = (strictjson.expect_string(fields.get(each) or "", each) for each in ("Username", "Secret"))
        return dockerconfig.password(username, secret, source, source) if username or secret else None
    except MalformedError as error:
        raise _unauthorized(f"{source} did not answer with a credential: {error.message}") from error


def _run(program: str, server: str, source: str, deadline: Deadline) -> tuple[int, bytes]:
    """Return the exit code and the output of the helper, or raise UnavailableError when it takes too long or too much.

    It has the environment of this process, as docker gives it. What it writes to its standard error is its own affair.
    """
    until = Deadline(min(deadline.at, deadline.clock() + HELPER_SECONDS), deadline.clock)
    try:
        process = subprocess.Popen(  # noqa: S603 (a program of the user's own PATH, without a shell)
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except OSError as error:
        raise _unauthorized(f"{source} cannot be run: {error.strerror}") from error
    try:
        if process.stdin is None or process.stdout is None:
            raise _unauthorized(f"{source} cannot be asked")
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(server.encode())  # shorter than any pipe, so it does not wait
        output = _read(process.stdout, source, until)
        code = process.wait(until.remaining())
    except (subprocess.TimeoutExpired, UnavailableError) as error:
        _end(process)
        if isinstance(error, UnavailableError) and error.reason is not Reason.DEADLINE:
            raise
        raise _unauthorized(f"{source} did not end within {HELPER_SECONDS:g} seconds, or the deadline") from error
    finally:
        if process.stdout is not None:
            process.stdout.close()
    return code, output


def _read(output: IO[bytes], source: str, until: Deadline) -> bytes:
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            selector.select(until.remaining())
            until.remaining()
            more = os.read(output.fileno(), HELPER_BYTES)
            data += more
            if not more:
                return data
            if len(data) > HELPER_BYTES:
                raise _unauthorized(f"{source} answered with more than {HELPER_BYTES} bytes")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _unauthorized(message: str) -> UnavailableError:
    return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
