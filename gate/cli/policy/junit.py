"""Results as JUnit XML, which continuous integration systems show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUITE = "gate policy test"


@dataclass(frozen=True, slots=True)
class Result:
    """How one case went: ``failure`` is None where the answer is the expected one."""

    name: str
    seconds: float
    failure: str | None


def junit(results: Sequence[Result]) -> bytes:
    """Return the results as one document, UTF-8."""
    import xml.etree.ElementTree as ET  # noqa: PLC0415 (help does not wait for it)

    totals = {
        "tests": str(len(results)),
        "failures": str(sum(result.failure is not None for result in results)),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ET.Element("testsuites", totals)
    suite = ET.SubElement(root, "testsuite", {"name": SUITE, "errors": "0", "skipped": "0", **totals})
    for result in results:
        attributes = {"classname": SUITE, "name": _escape(result.name), "time": f"{result.seconds:.3f}"}
        case = ET.SubElement(suite, "testcase", attributes)
        if result.failure is not None:
            failure = ET.SubElement(case, "failure", {"message": _escape(result.failure)})
            failure.text = _escape(result.failure)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _escape(text: str) -> str:
    return "".join(char if _is_allowed(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_allowed(char: str) -> bool:
    """Return whether XML 1.0 can hold the character at all: section 2.2, Char."""
    return char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
