"""Results as JUnit XML, which continuous integration systems show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

SUITE = "gate policy test"
# What XML 1.0 cannot hold at all, not even escaped (section 2.2, Char).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Result:
    """How one case went: ``failure`` is None where the answer is the expected one."""

    name: str
    seconds: float
    failure: str | None


def junit(results: Sequence[Result]) -> bytes:
    """Return the results as one document, UTF-8."""
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
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
