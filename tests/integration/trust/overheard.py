"""A program: the webhook as ``gate serve`` composes it, and what it asks, writes and imports while it answers.

The review is read from stdin. ``sys.argv[1]`` is what readiness has to say before this ends, for which it has ten
seconds. Names that are looked up are nobody's, as in a cluster without a way out. What was overheard is printed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

asked: list[str] = []
written: list[str] = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.mkdir": 0, "os.truncate": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1}  # which argument is new


def overhear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo" and arguments[0] != "127.0.0.1":
        asked.append(str(arguments[0]))
        raise socket.gaierror(socket.EAI_NONAME, "nobody has this name")
    if event == "socket.connect":
        asked.append(str(arguments[1]))
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING and arguments[0] != os.devnull:
        written.append(str(arguments[0]))
    if event in CHANGES:
        written.append(str(arguments[CHANGES[event]]))


sys.addaudithook(overhear)

from gate import compose, settings  # noqa: E402 (what is imported is overheard as well)

client = compose.application(settings.from_environment()).test_client()
response = client.post("/validate?timeout=10s", data=sys.stdin.buffer.read(), content_type="application/json").json
until = time.monotonic() + 10
while sys.argv[1] not in (told := client.get("/readyz?verbose")).text and time.monotonic() < until:
    time.sleep(0.05)
heard = {
    "status": told.status_code,
    "told": told.text,
    "response": response["response"],
    "asked": sorted(set(asked)),
    "written": written,
    "modules": sorted({name.partition(".")[0] for name in sys.modules} & {"sigstore", "tuf"}),
}
sys.stdout.write(json.dumps(heard))
