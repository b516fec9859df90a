"""The first process of a pod (see pod.py): it makes its namespaces look like one, and runs gate there.

Started in mount and network namespaces of its own with the path of a JSON document, whose fields are those of Plan.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.e2e.relay import relay

LOOPBACK = "127.0.0.1"
HOSTS = Path("/etc/hosts")
RUN = Path("/run")  # /var/run, as programs name it
SIOCSIFFLAGS, SIOCSIFADDR = 0x8914, 0x8916  # netdevice(7)
IFF_UP_RUNNING = 0x41
READY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is in the pod, and what runs there."""

    addresses: list[str]  # of this machine besides loopback
    hosts: str  # a file in the place of /etc/hosts
    mounts: dict[str, str]  # folders below /run, by the folders whose content they have
    doors: list[int]  # ports of loopback that lead out
    port: int  # of gate, to which the way in leads
    meeting: str  # a unix socket at which the ways out are handed over for the way in
    beside: list[list[str]]  # a program that says when it is ready, and where its output goes as the first element
    program: list[str]


def main(plan: Plan) -> int:
    """Return the exit code of the program, after SIGTERM too."""
    bring_up(plan.addresses)
    arrange(plan)
    open_doors(plan)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    beside = [start_beside(Path(log), argv) for log, *argv in plan.beside]
    program = subprocess.Popen(plan.program, env=environ)

    def end(number: int, frame: FrameType | None) -> None:
        program.terminate()

    signal.signal(signal.SIGTERM, end)
    try:
        return program.wait()
    finally:
        for process in beside:
            process.kill()
            process.wait()


def bring_up(addresses: Sequence[str]) -> None:
    """Give the loopback interface, the only one, its ``addresses``."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))
        for number, address in enumerate(addresses, 1):
            packed = struct.pack("16sHH4s8x", f"lo:{number}".encode(), socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, SIOCSIFADDR, packed)


def arrange(plan: Plan) -> None:
    """Put the pod's files over the machine's, for this mount namespace alone."""
    mount("--bind", plan.hosts, str(HOSTS))
    mount("-t", "tmpfs", "none", str(RUN))
    for place, source in plan.mounts.items():
        Path(place).mkdir(parents=True)
        mount("--bind", source, place)


def mount(*arguments: str) -> None:
    """Run mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def open_doors(plan: Plan) -> None:
    """Hand out listeners of this network, and carry on to gate what arrives at one of the network outside."""
    listeners = [socket.create_server((LOOPBACK, port)) for port in plan.doors]
    with socket.socket(socket.AF_UNIX) as meeting:
        meeting.connect(plan.meeting)
        socket.send_fds(meeting, [b"out"], [each.fileno() for each in listeners])
        _, (way_in, *_), _, _ = socket.recv_fds(meeting, len(b"in"), 1)
    relay(socket.socket(fileno=way_in), (LOOPBACK, plan.port))
    for each in listeners:
        each.close()


def start_beside(log: Path, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program and return once it has said something."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
    end = time.monotonic() + READY_SECONDS
    while not log.stat().st_size:
        assert time.monotonic() < end, f"{argv} is not ready"
        time.sleep(0.02)
    return process


if __name__ == "__main__":
    sys.exit(main(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
