"""The policy while gate runs, with the keys and trust roots that it names: one set, replaced as a whole or not at all.

A thread looks at the files, so that no review waits for a file system or a parser. It is started by the first question:
none runs before the server forks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gate.core.errors import ConfigError
from gate.core.policy import Policy
from gate.trust.publicgood import PublicGood
from gate.trust.reading import Attempt, read_set
from gate.trust.roots import Roots

LOOK_SECONDS = 0.25  # between two looks at the files: with the time to read them, a change works within two seconds
AGAIN_SECONDS = 10.0  # until a set that is wrong is read again though no file has changed: a disk may have failed

log = logging.getLogger("gate.policy")


class PolicySet:
    """The last good policy of some files, for any number of threads."""

    def __init__(
        self, load: Callable[[Roots], Policy], public_good: Callable[[], PublicGood], clock: Callable[[], float]
    ) -> None:
        """Read the set with ``load``, or raise ConfigError.

        ``public_good`` is asked only where the policy names it; ``clock`` is monotonic, in seconds.
        """
        self._load = load
        self._public_good = public_good
        self._clock = clock
        self._closed = threading.Event()
        self._starting = threading.Lock()  # guards the thread
        self._thread: threading.Thread | None = None
        self._looking = threading.Lock()  # held by who changes what follows, which anybody may read
        self._latest = self._read()  # what was read last, good or bad
        self._policy = self._latest.policy()
        self._trusting = self._latest.reading.trusted is not None
        self._problem: str | None = None

    def policy(self) -> Policy:
        """Return the policy in force, never waiting but at the first question."""
        if self._thread is None or not self._thread.is_alive():
            self._watch()
        return self._policy

    def problem(self) -> str | None:
        """Return what is wrong with the set that is there now, while an older one is in force, or None."""
        self.policy()
        return self._problem

    def trust_root(self) -> str | None:
        """Return which public good root is in force, and its age; None where the policy does not name it."""
        self.policy()
        return self._public_good().status() if self._trusting else None

    def look(self) -> None:
        """Take what has changed, if it is good."""
        with self._looking:
            if self._trusting:
                self._public_good().keep_fresh()
            again = self._problem is not None and self._clock() - self._read_at >= AGAIN_SECONDS
            if again or not self._latest.reading.current():
                self._take()

    def close(self) -> None:
        """End the thread; the policy stays what it is."""
        self._closed.set()

    def _watch(self) -> None:
        """Look, and begin to look again and again; of several callers one does it and the others wait."""
        with self._starting:
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._looked()  # the files may have changed since the start, when nobody watched
            thread = threading.Thread(target=self._run, name="policy", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._closed.wait(pause):
            pause = LOOK_SECONDS if self._looked() else AGAIN_SECONDS

    def _looked(self) -> bool:
        """Look, and return whether that went without a bug: one must not end the looking, nor fail a review."""
        try:
            self.look()
        except Exception:
            log.exception("the policy was not reloaded")
            self._problem = "a bug in gate keeps the policy from being reloaded; see its log"
            return False
        return True

    def _read(self) -> Attempt:
        self._read_at = self._clock()
        return read_set(self._load, lambda: self._public_good().current())

    def _take(self) -> None:
        """Read the set, and put it in force if it is good; the caller holds the lock."""
        self._latest = self._read()
        match self._latest.outcome:
            case Policy() as policy:
                self._policy, self._trusting = policy, self._latest.reading.trusted is not None
                self._problem = None
                log.info("the policy was reloaded")
            case ConfigError() as error:
                # Sigstore's root stays with the policy that is in force: a new one would be half of a new set.
                known, message = self._problem, "; ".join(error.message.splitlines())
                self._problem = f"the policy is wrong and the one before stays in force: {message}"
                if self._problem != known:
                    log.warning("the policy was not reloaded", extra={"problem": message})
