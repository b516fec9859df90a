"""Run in a process of its own by test_google.py: what gate does when it needs Google's token, as JSON on stdout.

google-auth reads the environment when it is imported, so each case has its own interpreter. Each line of stdin is a
JSON object with the host to ask, how many threads do so at once, and how long to sleep before.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from gate.compose import places
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.registry.sources import Sources
from gate.settings import from_environment
from tests.fakes.metadata import tell


def main() -> None:
    source = Sources(from_environment(), places.in_a_pod(None)).build(None)
    tell({"threads": threading.active_count(), "imported": imported()})

    def ask(host: str, seconds: float) -> dict[str, object]:
        began = time.monotonic()
        found: dict[str, object] = {"token": None}
        try:
            credential = source.credential(host, "acme/config", Deadline.after(seconds, time.monotonic), fresh=False)
            if credential is not None:
                found = {"token": credential.token, "source": credential.source}
        except UnavailableError as error:
            found = {"error": error.message, "reason": str(error.reason), "outage": error.outage}
        return {**found, "seconds": time.monotonic() - began}

    for line in sys.stdin:
        case = json.loads(line)
        time.sleep(case.get("sleep", 0))
        count = case.get("threads", 1)
        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(lambda _, c=case: ask(c["host"], c.get("deadline", 8.0)), range(count)))
        tell({"answers": answers, "imported": imported()})


def imported() -> bool:
    return "google.auth" in sys.modules


if __name__ == "__main__":
    main()
