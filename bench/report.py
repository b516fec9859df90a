"""Figures against budgets, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Slice

PERCENTILE = 0.99


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what was measured, and where there is a budget, whether it is within it."""

    what: str
    figure: str
    budget: str = ""
    within: bool | None = None  # None: there is no budget, or it could not be measured here

    def __str__(self) -> str:
        """Return the line, columns aligned."""
        verdict = {None: "", True: "ok", False: "OVER"}[self.within]
        return f"  {self.what:<58}{self.figure:>26}   {self.budget:<10}{verdict}".rstrip()


def at_most(what: str, value: float | None, limit: float, unit: str, note: str = "") -> Line:
    """Return the line for a value that should be at most ``limit``; None says that it cannot be measured here."""
    budget = f"≤ {limit:g} {unit}".rstrip()
    if value is None:
        return Line(what, "not measured here", budget)
    return Line(what, f"{value:.4g} {unit}{note}".rstrip(), budget, value <= limit)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rate(what: str, slices: Sequence[Slice]) -> Line:
    """Return the line for one kind of work: median rate of the slices, median and 99th percentile of all answers."""
    times = [each for part in slices for each in part.milliseconds]
    per_second = median(part.rate for part in slices)
    shown = f"{per_second:.0f}/s  p50 {median(times):.2f}  p99 {percentile(times, PERCENTILE):.1f} ms"
    return Line(what, shown)


def ratio(what: str, slices: Sequence[Slice], against: Sequence[Slice], least: float | None = None) -> Line:
    """Return the line for the rates of two kinds of work, pair by pair; ``least`` is the budget for the median."""
    pairs = [one.rate / other.rate for one, other in zip(slices, against, strict=True)]
    shown = f"{median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
    if least is None:
        return Line(what, shown)
    return Line(what, shown, f"≥ {least:g}", median(pairs) >= least)
