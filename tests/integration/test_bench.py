"""The benchmark measures something, and calls what is over its budget by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import report
from bench.load import Slice
from tests.readme import ROOT


@pytest.fixture(scope="module")
def printed() -> str:
    words = (sys.executable, "-m", "bench", "--rounds", "1", "--seconds", "0.05", "--burst", "40", "--soak", "50")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_short_run_prints_every_figure(printed: str) -> None:
    for figure in (
        "start to ready", "gate verify --help", "signature under a tag", "rate beside the constant in Flask",
        "99 of 100 reviews within", "40 reviews at once", "registry requests", "reviews more",
    ):  # fmt: skip
        assert figure in printed


def test_what_does_not_depend_on_the_machines_speed_is_within_its_budget(printed: str) -> None:
    lines = {line.strip().split("  ")[0]: line for line in printed.splitlines() if "≤" in line}
    for figure in ("signature under a tag", "signature in a bundle", "registry requests"):
        assert lines[figure].endswith("ok"), lines[figure]


@pytest.mark.parametrize(("value", "verdict"), [(89.9, "ok"), (90.0, "ok"), (90.1, "OVER")])
def test_a_value_over_its_budget_is_called_so(value: float, verdict: str) -> None:
    assert str(report.at_most("memory", value, 90, "MiB")).endswith(f"≤ 90 MiB  {verdict}")


def test_what_cannot_be_measured_is_neither_within_nor_over() -> None:
    assert str(report.at_most("memory", None, 90, "MiB")).endswith("not measured here   ≤ 90 MiB")


def test_a_ratio_is_the_median_of_its_pairs() -> None:
    slices = [Slice(1.0, (1.0,) * count) for count in (60, 10, 90)]
    line = report.ratio("rate", slices, [Slice(1.0, (1.0,) * 100)] * 3, 0.6)
    assert line.figure == "0.60 (0.10 to 0.90)"
    assert line.within


def test_the_99th_percentile_of_a_hundred_is_the_slowest_but_none() -> None:
    assert report.percentile(list(range(1, 101)), 0.99) == 100
    assert report.percentile([5.0], 0.99) == 5.0
