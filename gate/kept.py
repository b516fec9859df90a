"""Answers that never change, kept so that the same question is not asked again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Kept(Generic[Answer]):
    """At most so many answers, each by the name of its question; the least recently used make room. Thread safe."""

    def __init__(self, entries: int) -> None:
        """Keep at most ``entries`` answers."""
        self._entries = entries
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: bytes, ask: Callable[[], Answer]) -> Answer:
        """Return the answer called ``name``, from ``ask`` if it is not kept; nobody waits while somebody asks."""
        with self._lock:
            if name in self._answers:
                self._answers.move_to_end(name)
                return self._answers[name]
        answer = ask()
        with self._lock:
            self._answers[name] = answer
            if len(self._answers) > self._entries:
                self._answers.popitem(last=False)
        return answer
