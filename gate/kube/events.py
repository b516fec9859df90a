"""Events on RootSyncs and RepoSyncs, written in the background: best effort, and never in the way of a review.

Whoever reaches the webhook may send a review of an object that is not there, so an Event is written only after the API
server has shown the object with that uid, and only then counts against any limit. Replicas say the same under the same
name: it is written once, and then its time is renewed.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from gate.core import strictjson
from gate.core.errors import ConfigError, GateError, UnavailableError
from gate.core.rfc3339 import format_instant
from gate.core.strictjson import Object
from gate.kube.api import ANSWER_BYTES, UNAVAILABLE, KubernetesApi
from gate.kube.syncs import KINDS

WAITING = 256  # events of one reason that wait to be written; more are dropped
REPEAT_SECONDS = 300.0  # until the same is said again: an API server forgets an Event after an hour
OBJECT_BURST, OBJECT_SECONDS = 5, 60.0  # of one object: so many different events at once, then one in so many seconds
BURST, SECONDS = 50, 1.0  # of all objects together, as a process: of each reason, so that none drowns another
REMEMBERED = 4096  # events, and objects, of which it is known when they were last written
TIMEOUT_SECONDS = 5.0  # one wait for the API server
MESSAGE_BYTES = 1024  # events.k8s.io/v1, note
NAME_CHARACTERS = 230  # of the object's in its Event's: 253 for a name, 17 for what tells events apart

_SYNC = "/apis/configsync.gke.io/v1beta1/namespaces/{namespace}/{plural}/{name}"
_EVENTS = "/api/v1/namespaces/{namespace}/events"
_OK, _CONFLICT = 200, 409  # RFC 9110

log = logging.getLogger("gate.events")


@dataclass(frozen=True, slots=True)
class Event:
    """A warning about the RootSync or RepoSync ``uid``; ``reason`` is one word in CamelCase, for kubectl's column."""

    kind: str
    namespace: str
    name: str
    uid: str
    reason: str
    message: str

    @property
    def digest(self) -> str:
        """What tells this event from others: 16 hex digits."""
        parts = (self.kind, self.namespace, self.name, self.uid, self.reason, self.message)
        whole = b"".join(b"%d:%b" % (len(part), part) for part in (each.encode() for each in parts))
        return hashlib.sha256(whole).hexdigest()[:16]

    @property
    def own_name(self) -> str:
        """The name of the Event, the same in every replica."""
        return f"{self.name[:NAME_CHARACTERS].rstrip('.-')}.{self.digest}"


@dataclass(slots=True)
class _Bucket:
    """So many at once, and one more in so many seconds."""

    left: float
    at: float

    def has(self, burst: int, seconds: float, now: float) -> bool:
        self.left = min(burst, self.left + (now - self.at) / seconds)
        self.at = now
        return self.left >= 1


@dataclass(slots=True)
class Limits:
    """Which events are worth writing now; not thread safe. Each reason has a budget of its own."""

    _all: dict[str, _Bucket] = field(default_factory=dict)
    _objects: OrderedDict[tuple[str, str], _Bucket] = field(default_factory=OrderedDict)
    _said: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def allow(self, event: Event, now: float) -> bool:
        """Return whether ``event`` may be written at ``now`` (monotonic, in seconds); nothing is counted."""
        said = self._said.get(event.digest)
        if said is not None and now - said < REPEAT_SECONDS:
            return False
        of_object, of_all = self._objects.get((event.reason, event.uid)), self._all.get(event.reason)
        return (of_object is None or of_object.has(OBJECT_BURST, OBJECT_SECONDS, now)) and (
            of_all is None or of_all.has(BURST, SECONDS, now)
        )

    def count(self, event: Event, now: float) -> None:
        """Count ``event``, which is allowed, as written at ``now``."""
        of_object = event.reason, event.uid
        self._objects.setdefault(of_object, _Bucket(OBJECT_BURST, now)).left -= 1
        _use(self._objects, of_object)
        self._all.setdefault(event.reason, _Bucket(BURST, now)).left -= 1
        self._said[event.digest] = now
        _use(self._said, event.digest)


_Name = TypeVar("_Name")


def _use(kept: OrderedDict[_Name, Any], name: _Name) -> None:
    """Make ``name`` the last that is forgotten, and forget what is too much."""
    kept.move_to_end(name)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


class Events:
    """Writes events in one background thread, which begins with the first of them; thread safe."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        """Write with ``api``; ``clock`` is monotonic, in seconds, ``now`` the time of day."""
        self._api = api
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()  # guards what follows; never held while anything is waited for
        self._limits = Limits()
        self._waiting: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._offered: defaultdict[str, set[str]] = defaultdict(set)  # by reason, the digests of what waits
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def offer(self, event: Event) -> None:
        """Write ``event`` some time soon, or never: returns at once, and raises nothing."""
        with self._lock:
            offered = self._offered[event.reason]
            if event.digest in offered or len(offered) >= WAITING or not self._limits.allow(event, self._clock()):
                return
            offered.add(event.digest)
            self._waiting.put(event)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()

    def problem(self) -> str | None:
        """Return why the last event could not be written, or None."""
        return self._problem

    def _run(self) -> None:
        while True:
            event = self._waiting.get()
            try:
                self._write(event)
            except GateError as error:
                # Said once: while it lasts, every event meets it.
                if self._problem is None:
                    log.warning("events cannot be written", extra={"problem": error.message})
                self._problem = f"events cannot be written: {error.message}"
            else:
                self._problem = None
            finally:
                with self._lock:
                    self._offered[event.reason].discard(event.digest)

    def _write(self, event: Event) -> None:
        with self._lock:
            allowed = self._limits.allow(event, self._clock())  # others were written while it waited
        # What is not there is counted nowhere: whoever invents objects must not silence those that exist.
        if not allowed or not self._is_live(event):
            return
        with self._lock:
            self._limits.count(event, self._clock())
        at = format_instant(self._now())
        place = {"namespace": event.namespace}
        status = self._api.create(_EVENTS, place, _document(event, at), TIMEOUT_SECONDS).status
        if status == _CONFLICT:
            names = {**place, "name": event.own_name}
            status = self._api.merge(f"{_EVENTS}/{{name}}", names, {"lastTimestamp": at}, TIMEOUT_SECONDS).status
        _check(status, {200, 201}, "events")

    def _is_live(self, event: Event) -> bool:
        """Return whether there is that object, and not another one of its name."""
        plural = KINDS[event.kind]
        names = {"namespace": event.namespace, "plural": plural, "name": event.name}
        try:
            answer = self._api.get(_SYNC, names, TIMEOUT_SECONDS)
        except ConfigError:
            return False  # what has no name is not there
        _check(answer.status, {200, 404}, plural)
        if answer.status != _OK:
            return False
        document = strictjson.loads_object(answer.body, limit=ANSWER_BYTES)
        return strictjson.expect_object(document.get("metadata"), "metadata").get("uid") == event.uid


def _check(status: int, expected: set[int], what: str) -> None:
    if status in {401, 403}:
        raise UnavailableError(UNAVAILABLE, f"gate's ServiceAccount may not use {what}; see components/events")
    if status not in expected:
        raise UnavailableError(UNAVAILABLE, f"the Kubernetes API server answered {status} when asked about {what}")


def _document(event: Event, at: str) -> Object:
    about: Object = {
        "apiVersion": "configsync.gke.io/v1beta1",
        "kind": event.kind,
        "namespace": event.namespace,
        "name": event.name,
        "uid": event.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": event.namespace, "name": event.own_name},
        "involvedObject": about,
        "type": "Warning",
        "reason": event.reason,
        "message": event.message.encode()[:MESSAGE_BYTES].decode(errors="ignore"),
        "source": {"component": "gate"},
        "reportingComponent": "gate",
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
