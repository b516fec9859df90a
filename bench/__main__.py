"""``make bench``: the webhook under load, beside a handler in the same server that answers a constant.

What is compared is measured in turn, within the same second or two, and the median of the pairs is printed: single
times say more about the machine than about gate. Ends with 0 whatever the figures are, and with 1 where there are none.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import ParamSpec, TypeVar

from bench import load, report
from bench.load import Burst, LoadError, Measured
from bench.memory import resident_mebibytes
from bench.report import Line, at_most, percentile
from bench.scene import Scene, scene, seconds_to_ready
from gate.core.errors import GateError

# The budgets that gate is built to.
RATIO_LEAST = 0.6  # of the rate of a constant answer
P99_MILLISECONDS = 100.0  # of a review answered from evidence, at 32 connections
BURST_REQUESTS = 6  # registry requests for any number of reviews of one new digest
ROUND_TRIPS_TAG, ROUND_TRIPS_BUNDLE = 2, 3  # one after the other, for a digest that nobody has asked about
MEMORY_MEBIBYTES = 90.0  # with a policy of keys
READY_SECONDS = 1.5
HELP_MILLISECONDS = 150.0

CONNECTIONS = 32  # as many as are never shed
PAUSE_SECONDS = 0.2  # of each registry request while round trips are counted; gate's own work takes a tenth
STARTS, HELPS = 3, 7  # how often a process is started for a median
SPARE_FILES = 256  # besides a connection of the burst on either side

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator, in a process of its own."""

    pool: ProcessPoolExecutor

    def __call__(self, task: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return what ``task`` returns over there."""
        return self.pool.submit(task, *arguments, **named).result()


def main() -> int:
    """Measure, print, and return the exit code."""
    options = _options()
    _allow_files(2 * options.burst + SPARE_FILES)
    print(f"gate bench: Python {platform.python_version()}, {os.cpu_count()} processors, TLS on loopback")
    try:
        for line in _lines(options):
            print(line, flush=True)
    except (LoadError, GateError, OSError) as error:
        print(f"gate bench: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="gate under load, against its budgets.")
    parser.add_argument("--rounds", type=int, default=8, help="slices of each kind of work (8)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one slice (0.5)")
    parser.add_argument("--burst", type=int, default=1000, help="reviews at once for one new digest (1000)")
    parser.add_argument("--soak", type=int, default=0, help="send so many reviews more and look at the memory (0)")
    return parser.parse_args()


def _allow_files(wanted: int) -> None:
    """Let this process and its children open enough connections, as a container's limit does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _lines(options: argparse.Namespace) -> Iterator[Line | str]:
    yield "\nprocesses"
    yield at_most("start to ready", median(seconds_to_ready() for _ in range(STARTS)), READY_SECONDS, "s")
    yield at_most("gate verify --help", median(_help() for _ in range(HELPS)), HELP_MILLISECONDS, "ms")
    # Started anew, not forked: a copy of this process would share its threads' locks.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool, scene() as running:
        generator = Load(pool)
        memory = [_memory(running, "ready")]
        yield from _cold(running, generator)
        yield from _evidence(running, generator, options)
        memory.append(_memory(running, f"after the reviews on {CONNECTIONS} connections"))
        if options.soak:
            reviews = running.reviews(running.push())
            sent = generator(load.count, running.target, CONNECTIONS, reviews, options.soak)
            memory.append(_memory(running, f"after {sent} reviews more"))
        yield from _burst(running, generator, options.burst)
        memory.append(_memory(running, "after the reviews at once"))
        yield "\nresident memory of the server and its worker, a policy of one key"
        yield from memory


def _help() -> float:
    """Return the milliseconds of one ``gate verify --help``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gate", "verify", "--help"], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def _cold(running: Scene, generator: Load) -> Iterator[Line | str]:
    yield "\na digest that nobody has asked about: registry round trips, one after the other"
    for what, bundle, limit in (
        ("signature under a tag", False, ROUND_TRIPS_TAG),
        ("signature in a bundle", True, ROUND_TRIPS_BUNDLE),
    ):
        generator(load.burst, running.target, running.reviews(running.push(bundle=bundle)), 1)  # connections exist
        work = running.reviews(running.push(bundle=bundle))
        before, running.store.pause_seconds = running.store.requests, PAUSE_SECONDS
        answered = generator(load.burst, running.target, work, 1, ("allowed",))
        running.store.pause_seconds = 0.0
        _expect_admitted(answered)
        trips = answered.milliseconds[0] / 1000 // PAUSE_SECONDS
        yield at_most(what, trips, limit, "", f" ({running.store.requests - before} requests)")


def _evidence(running: Scene, generator: Load, options: argparse.Namespace) -> Iterator[Line | str]:
    reviews = running.reviews(running.push())
    flask, bare = running.constants(reviews)
    for connections in (1, CONNECTIONS):
        generator(load.alternate, running.target, 1, (reviews,), 1, 0.1)  # from here on the evidence is there
        before = running.store.requests
        measured = generator(
            load.alternate, running.target, connections, (reviews, flask, bare), options.rounds, options.seconds
        )
        plural = "s" if connections > 1 else ""
        yield f"\nanswered from evidence, {connections} connection{plural}, reviews of {len(reviews.bodies[0])} bytes"
        yield from _rates(measured, at_budget=connections == CONNECTIONS)
        yield Line("registry requests meanwhile", str(running.store.requests - before))
        yield Line("load generator busy", f"{measured.busy:.0%}")


def _rates(measured: Measured, *, at_budget: bool) -> Iterator[Line]:
    reviews, flask, bare = measured.slices
    yield report.rate("reviews", reviews)
    yield report.rate("a constant, from the same Flask application", flask)
    yield report.rate("a constant, from a WSGI function without Flask", bare)
    yield report.ratio("rate beside the constant in Flask", reviews, flask, RATIO_LEAST if at_budget else None)
    yield report.ratio("rate beside the constant without Flask", reviews, bare)
    if at_budget:
        slowest = percentile([each for part in reviews for each in part.milliseconds], report.PERCENTILE)
        yield at_most("99 of 100 reviews within", slowest, P99_MILLISECONDS, "ms")


def _burst(running: Scene, generator: Load, reviews: int) -> Iterator[Line | str]:
    yield f"\n{reviews} reviews at once, on {min(reviews, load.KEPT_CONNECTIONS)} connections, for one new digest"
    work = running.reviews(running.push())
    before = running.store.requests
    answered = generator(load.burst, running.target, work, reviews, ('"allowed":true', "busy: "))
    words = dict(answered.words)
    yield at_most("registry requests", running.store.requests - before, BURST_REQUESTS, "")
    yield Line("admitted", str(words['"allowed":true']))
    yield Line("told to come back, because too many are answered", str(words["busy: "]))
    times = answered.milliseconds
    yield Line("answered after", f"p50 {median(times):.0f}  p99 {percentile(times, report.PERCENTILE):.0f} ms")


def _memory(running: Scene, when: str) -> Line:
    return at_most(when, resident_mebibytes(running.server.process.pid), MEMORY_MEBIBYTES, "MiB")


def _expect_admitted(answered: Burst) -> None:
    if dict(answered.words)["allowed"] != len(answered.milliseconds):
        raise LoadError("the reviews were not answered")


if __name__ == "__main__":
    sys.exit(main())
