"""Sigstore's public good trust root while gate runs: which one is in force, and what takes its place.

The one that is shipped with the ``sigstore`` package serves until Sigstore's TUF repository has answered, and wherever
it does not answer. What the repository says, signed and not expired, replaces it, and is kept for the next start. What
was kept shows who signed it and not that it is the newest, for whoever restores a state directory restores an old one:
it serves only where it takes back nothing that the shipped one says.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from typing import Protocol
from urllib.parse import quote as percent_encode

from cryptography.hazmat.primitives.serialization import Encoding

from gate.core.authorities import SecondOpinion
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, GateError, MalformedError
from gate.core.trust import TrustedRoot, Window, parse_trusted_root

URL = "https://tuf-repo-cdn.sigstore.dev"  # the repository of Sigstore's public good instance
STAGING_URL = "https://tuf-repo-cdn.sigstage.dev"  # and that of the instance where Sigstore tries what is to come

REFRESH_SECONDS = 3600.0  # between two questions: how long a revoked log or authority stays trusted here at most
SPREAD = (0.8, 1.2)  # of that, so that replicas do not ask at once
RETRY_SECONDS = (60.0, 3600.0)  # after a failure: at first, and at most
AHEAD_SECONDS = 10.0  # that a file's time may be ahead: a file server has a clock of its own
PATIENCE_SECONDS = 30.0  # one refresh: six small files, nobody waits for it in a server

log = logging.getLogger("gate.trust")


@dataclass(frozen=True, slots=True)
class Stored:
    """A trusted_root.json that the repository's metadata vouches for."""

    raw: bytes
    version: int  # of the metadata that names it: a later one has a higher number
    confirmed: datetime | None  # when the repository last said that there is no later one; None: not known


class Repository(Protocol):
    """The TUF repository, and what is kept of it: gate.trust.tuf.TufClient."""

    def refresh(self, deadline: Deadline) -> Stored:
        """Return what the repository says now, or raise a GateError."""

    def stored(self) -> Stored | None:
        """Return what it said last, if that was kept."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a release of the ``sigstore`` package carries of an instance of Sigstore."""

    trusted_root: bytes
    tuf_root: bytes  # root.json of its TUF repository
    release: str


@dataclass(frozen=True, slots=True)
class Trusted:
    """A root in force, and Sigstore's own library under it; another root is another object."""

    root: TrustedRoot
    second: SecondOpinion


@dataclass(frozen=True, slots=True)
class Times:
    """Where time and chance come from: ``clock`` is monotonic, in seconds; ``uniform`` draws between two numbers."""

    clock: Callable[[], float]
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]


def read_shipped(url: str = URL) -> Shipped:
    """Return what the installed ``sigstore`` package carries of the instance with the TUF repository ``url``.

    Nobody is asked, and nothing is written. Raises ConfigError when the package carries no such thing.

    The package's own way to it, ``ClientTrustConfig.production(offline=True)``, writes into the user's directories,
    prefers whatever lies there without verifying it, and shows the bytes to nobody. So its data files are read.
    """
    directory = resources.files("sigstore").joinpath("_store", percent_encode(url, safe=""))
    try:
        raw, tuf_root = (directory.joinpath(name).read_bytes() for name in ("trusted_root.json", "root.json"))
    except OSError as error:
        raise ConfigError(
            f"the sigstore package carries nothing of {url}; install the release that gate names"
        ) from error
    return Shipped(raw, tuf_root, metadata.version("sigstore"))


class PublicGood:
    """The root in force, which a thread of its own replaces now and then; thread safe."""

    def __init__(
        self,
        repository: Repository,
        shipped: Shipped,
        second: Callable[[TrustedRoot], SecondOpinion],
        times: Times,
    ) -> None:
        """Begin with nothing in force; ``second`` returns the library under a root, or raises ConfigError."""
        self._repository = repository
        self._shipped = shipped
        self._second = second
        self._times = times
        self._asking = threading.Lock()  # held while the repository is asked
        self._lock = threading.Lock()  # guards what follows
        self._trusted: Trusted | None = None
        self._source = ""
        self._version = 0  # of the repository's metadata; 0 for what is shipped
        self._confirmed: datetime | None = None
        self._problem: str | None = None
        self._failures = 0
        self._next_at = float("-inf")

    def current(self) -> Trusted:
        """Return the root in force, without asking anybody; ConfigError when even the shipped one cannot be used."""
        with self._lock:
            if self._trusted is None:
                self._trusted = self._first()
            return self._trusted

    def fresh(self) -> Trusted:
        """Return the root in force, after asking for a later one when that is due; for commands, which have no thread.

        A repository that cannot be asked changes nothing, as in a server; ConfigError as current().
        """
        self.current()
        age = self._age()
        if age is None or not 0 <= age < REFRESH_SECONDS:
            self.refresh()
        return self.current()

    def keep_fresh(self) -> None:
        """Begin to ask for a later root if that is due, in a thread of its own, and return at once."""
        with self._lock:
            if self._times.clock() < self._next_at:
                return
            self._next_at = self._times.clock() + RETRY_SECONDS[0] + PATIENCE_SECONDS  # until it is known better
        threading.Thread(target=self.refresh, name="trust-root", daemon=True).start()

    def refresh(self) -> None:
        """Ask the repository now, and take what it says if that is good; what went wrong is in status()."""
        with self._asking:
            try:
                stored = self._repository.refresh(Deadline.after(PATIENCE_SECONDS, self._times.clock))
                found = self._believed(stored.raw)
            except GateError as error:
                self._fail(error.message)
                return
            except Exception:
                # What python-tuf raises besides its own errors must not end the refreshing unheard.
                log.exception("Sigstore's trust root was not refreshed")
                self._fail("a bug in gate or in its TUF client; see the log")
                return
            with self._lock:
                older = stored.version < self._version
            if older:
                self._fail(f"{URL} names version {stored.version} after {self._version}")
            else:
                self._take(stored, found)

    def status(self) -> str:
        """Return which root is in force, how old it is, and what is wrong with getting a later one."""
        with self._lock:
            parts = [f"Sigstore's trust root is {self._source or 'not loaded'}"]
            age = self._age()
            if age is not None and age >= -AHEAD_SECONDS:
                parts.append(f", confirmed {_told(age)} ago")
            elif self._version:
                parts.append(
                    ", and when it was confirmed is not known, for its file's date does not agree with the clock"
                )
            if self._problem is not None:
                parts.append(f"; it was not refreshed: {self._problem}")
        return "".join(parts)

    def _age(self) -> float | None:
        """Return how many seconds ago what is in force was confirmed; negative where that is yet to come."""
        return None if self._confirmed is None else (self._times.now() - self._confirmed).total_seconds()

    def _believed(self, raw: bytes) -> Trusted:
        """Return the root in ``raw`` if both verifiers can use it, else raise MalformedError or ConfigError."""
        root = parse_trusted_root(raw)
        return Trusted(root, self._second(root))

    def _first(self) -> Trusted:
        """Return what was kept if it is not older than what is shipped, else that; the caller holds the lock."""
        try:
            shipped = parse_trusted_root(self._shipped.trusted_root)
        except MalformedError as error:
            raise ConfigError(f"the trust root of the sigstore package cannot be used: {error.message}") from error
        stored = self._repository.stored()
        kept = None if stored is None else self._as_new_as(shipped, stored.raw)
        if stored is None or kept is None:
            self._source = (
                f"the one shipped with sigstore {self._shipped.release}, with nothing after {newest(shipped):%F}"
            )
            return Trusted(shipped, self._second(shipped))
        self._source, self._version, self._confirmed = _version(stored), stored.version, stored.confirmed
        return kept

    def _as_new_as(self, shipped: TrustedRoot, raw: bytes) -> Trusted | None:
        try:
            kept = self._believed(raw)
        except (MalformedError, ConfigError):  # of another release of gate; the next refresh says what is wrong
            return None
        return None if takes_back(kept.root, shipped) else kept

    def _take(self, stored: Stored, found: Trusted) -> None:
        times = self._times
        with self._lock:
            changed = self._trusted is None or self._trusted.root.digest != found.root.digest
            if changed:
                self._trusted = found
            self._source, self._version, self._confirmed = _version(stored), stored.version, stored.confirmed
            self._problem, self._failures = None, 0
            self._next_at = times.clock() + REFRESH_SECONDS * times.uniform(*SPREAD)
        if changed:
            log.info("Sigstore's trust root was replaced", extra={"version": stored.version})

    def _fail(self, problem: str) -> None:
        with self._lock:
            known, self._problem = self._problem, problem
            self._next_at = self._times.clock() + min(RETRY_SECONDS[0] * 2**self._failures, RETRY_SECONDS[1])
            self._failures = min(self._failures + 1, 16)  # enough to reach the longest wait
        if known != problem:
            # In the text, because a command has no log but the terminal.
            log.warning("Sigstore's trust root was not refreshed: %s", problem)


def takes_back(root: TrustedRoot, earlier: TrustedRoot) -> bool:
    """Return whether ``root`` lacks something that ``earlier`` lists, or leaves in use what that one has ended.

    Sigstore adds to its root and ends what it replaces. Where nothing else tells, this tells that a root is older.
    """
    listed, known = _members(root), _members(earlier)
    return any(name not in listed or (known[name] and not listed[name]) for name in known)


def _members(root: TrustedRoot) -> dict[tuple[str, bytes, datetime], bool]:
    """Return what ``root`` lists, by kind, identity and beginning, and whether each has an end."""
    found = {}
    for kind, logs in (("log", root.logs), ("ct", root.ct_logs)):
        found.update({(kind, each.log_id, each.window.start): each.window.end is not None for each in logs})
    authorities = (("ca", root.certificate_authorities), ("tsa", root.timestamp_authorities))
    for kind, each in ((kind, each) for kind, listed in authorities for each in listed):
        name = b"".join(certificate.public_bytes(Encoding.DER) for certificate in each.chain)
        found[kind, name, each.window.start] = each.window.end is not None
    return found


def newest(root: TrustedRoot) -> datetime:
    """Return when the newest member of ``root`` came into use; ValueError when there is none."""
    logs: list[Window] = [each.window for each in (*root.logs, *root.ct_logs)]
    authorities = [each.window for each in (*root.certificate_authorities, *root.timestamp_authorities)]
    return max(window.start for window in (*logs, *authorities))


def _version(stored: Stored) -> str:
    return f"version {stored.version} of {URL}"


def _told(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
