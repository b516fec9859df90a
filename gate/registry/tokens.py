"""Tokens of realms, kept for as long as they are good, and asked for once however many want them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason

TOKENS = 256  # of one registry: one per repository that is asked for

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str = field(repr=False)
    until: float


class TokenCache(Generic[Key]):
    """A bounded cache of tokens, least recently used first out; thread safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Tell by ``clock`` (monotonic, seconds) when a token ends."""
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._asked: dict[Key, Future[str]] = {}

    def get(self, key: Key, rejected: str | None, ask: Callable[[], tuple[str, float]], deadline: Deadline) -> str:
        """Return a token for ``key`` other than ``rejected``; from ``ask`` (token, its seconds) when none is kept.

        One caller asks and the others wait for its answer, each until its own deadline; they share a failure too,
        except that of a deadline: whoever has time left asks again. Raises what ``ask`` raises.
        """
        while True:
            with self._lock:
                kept = self._usable(key, rejected)
                if kept is not None:
                    return kept
                asked = self._asked.get(key)
                if asked is None:
                    mine = self._asked[key] = Future[str]()
                    break
            try:
                return asked.result(deadline.remaining())
            except UnavailableError as error:
                if error.reason is not Reason.DEADLINE:
                    raise UnavailableError(error.reason, error.message, outage=error.outage) from error
                deadline.remaining()
            except TimeoutError:
                deadline.remaining()
        return self._ask(key, ask, mine)

    def _ask(self, key: Key, ask: Callable[[], tuple[str, float]], mine: Future[str]) -> str:
        try:
            token, seconds = ask()
        except BaseException as error:
            with self._lock:
                del self._asked[key]
            mine.set_exception(error)
            raise
        with self._lock:
            self._kept[key] = _Kept(token, self._clock() + seconds)
            self._kept.move_to_end(key)
            while len(self._kept) > TOKENS:
                self._kept.popitem(last=False)
            del self._asked[key]
        mine.set_result(token)
        return token

    def _usable(self, key: Key, rejected: str | None) -> str | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= self._clock() or kept.token == rejected:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept.token
