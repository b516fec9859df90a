"""Registries that an operator lists: what GATE_REGISTRIES says of them, and docker's logins for them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.e2e.cosign import Login
from tests.e2e.images import Access, Repository
from tests.e2e.kubeapi import Answer, Object
from tests.e2e.processes import wait_until
from tests.e2e.syncs import oci
from tests.e2e.token_server import Mint
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench

USER, PASSWORD = "robot", "correct horse"
HTPASSWD = f"{USER}:$2y$05$e2ee2ee2ee2ee2ee2ee2eun/pa4QoDcQynUli2G.ZWILXB/PgxZ9u\n"  # bcrypt, of that password
RELOAD_SECONDS = 10  # gate looks at its files every two seconds


@dataclass(frozen=True, slots=True)
class Logins:
    """The file that ``docker login`` writes, in a folder of its own, for one registry."""

    folder: Path
    host: str

    @property
    def file(self) -> Path:
        """Return its path."""
        return self.folder / "config.json"

    def write(self, password: str | None) -> None:
        """Log in with ``password``, or log out; as docker does it, the file is replaced."""
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        document = {"auths": {} if password is None else {self.host: {"auth": auth}}}
        self.folder.mkdir(exist_ok=True)
        written = self.folder / "config.json.new"
        written.write_text(json.dumps(document))
        written.replace(self.file)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A registry over TLS that wants docker's login: itself, or through the token server whose ``mint`` is given."""

    host: str
    authority: Path
    gates: Logins  # the file that gate reads
    signers: Logins = field(repr=False)  # the file that cosign reads
    mint: Mint | None = None

    @property
    def entry(self) -> Object:
        """Return what GATE_REGISTRIES says of it."""
        credentials = {"dockerConfigFile": str(self.gates.file)}
        return {"host": self.host, "caFile": str(self.authority), "credentials": credentials}

    @property
    def login(self) -> Login:
        """Return what cosign is given."""
        return Login(self.authority, self.signers.folder)

    def repository(self, bench: Workbench) -> Repository:
        """Return a repository of it that is empty, and may be pushed to."""
        name = bench.repository(self.host).name
        if self.mint is not None:
            shown = f"Bearer {self.mint.to_push(name)}"
        else:
            shown = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return Repository(self.host, name, Access(self.authority, shown))


def guarded(folder: Path, host: str, authority: Path, mint: Mint | None = None) -> Guarded:
    """Return the registry at ``host``, with the right login for gate and for cosign."""
    number = host.rpartition(":")[2]
    gates, signers = (Logins(folder / f"{who}-{number}", host) for who in ("gate", "cosign"))
    for logins in (gates, signers):
        logins.write(PASSWORD)
    return Guarded(host, authority, gates, signers, mint)


@contextlib.contextmanager
def listed(gate: GateServer, entries: list[Object]) -> Iterator[None]:
    """Add ``entries`` to GATE_REGISTRIES while gate runs, which takes them up by itself, and remove them again."""
    before = gate.registries.read_text()
    gate.registries.write_text(yaml.safe_dump([*yaml.safe_load(before), *entries]))
    try:
        yield
    finally:
        gate.registries.write_text(before)


def ask(bench: Workbench, image: str) -> Answer:
    """Return what the API server says to a RootSync on ``image``; nothing is created."""
    sync = bench.sync("RootSync")
    return bench.cluster.admin.create(f"{sync.list_path()}?dryRun=All", sync.object(oci(image)))


def refused_soon(
    bench: Workbench, gate: GateServer, repository: Repository, reason: str, said: str = "", *, host: str = ""
) -> str:
    """Return the message with which new images are refused, once that is for ``reason`` and has what is ``said``.

    ``host`` is what gate knows the registry by, when that is not what it is pushed to by.
    """
    messages: list[str] = []

    def refused() -> bool:
        # Never asked for before, so that nothing is answered from evidence.
        image = f"{host or repository.host}/{repository.name}@{repository.push()}"
        messages.append(ask(bench, image).message)
        return gate.decisions()[-1]["reason"] == reason and said in messages[-1]

    _soon(refused, f"gate refuses for {reason}: {said}", messages)
    return messages[-1]


def admitted_soon(bench: Workbench, image: str) -> None:
    """Return once a RootSync on ``image`` is admitted."""
    messages: list[str] = []

    def admitted() -> bool:
        answer = ask(bench, image)
        messages.append(answer.message)
        return answer.ok

    _soon(admitted, f"gate admits {image}", messages)


def _soon(condition: Callable[[], bool], what: str, messages: list[str]) -> None:
    try:
        wait_until(condition, RELOAD_SECONDS, what)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last answer is {messages[-1]!r}") from None
