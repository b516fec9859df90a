"""``gate registry check``: one image's registry through gate's own eyes, request by request."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from gate.cli import options
from gate.core.errors import ConfigError, MalformedError
from gate.core.oci import LAYOUT_PREFIX, Reference
from gate.core.quote import plain, quote
from gate.core.signature import RefusedCandidate

if TYPE_CHECKING:  # help does not wait for a registry client
    from gate.registry.check import Access, Finding, Report
    from gate.registry.trace import Trace

EXIT_OK, EXIT_FINDINGS = 0, 1
_SHOWN_CHARACTERS = 200  # of a URL: whoever redirects may send gate anywhere


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the one thing there is to do with a registry, and its options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "say who is asked, with which credentials, each request and its outcome, and what was found"
    action = actions.add_parser("check", help=summary, description=summary.capitalize() + ".", allow_abbrev=False)
    action.add_argument("image", metavar="IMAGE", help="registry/repository[:tag][@sha256:digest]")
    options.add_registry_options(action)
    action.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print what gate sees; return 0 if the image and its signatures can be read, 1 if something is in the way."""
    if arguments.image.startswith(LAYOUT_PREFIX):
        raise ConfigError(f"{quote(arguments.image)} is on disk, where there is no registry to check; see gate verify")
    try:
        reference = Reference.parse(arguments.image)
    except MalformedError as error:
        raise ConfigError(error.message) from error
    settings = options.settings(arguments)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)
    from gate.registry.check import check  # noqa: PLC0415 (the same)

    hosts = frozenset({reference.registry})
    named = compose.CommandLine(hosts, plain_http=arguments.plain_http, token=options.token(arguments))
    live = arguments.output == "text"
    wire = Wire(partial(print, flush=True) if live else None)
    with compose.open_registry(settings, named, reference.registry, wire.seen) as access:
        if live:
            print(_head(access, reference), flush=True)
        report = check(access, reference, lambda: compose.deadline(arguments.timeout))
        print(as_text(report) if live else as_json(access, reference, wire.traces, report))
    return EXIT_FINDINGS if report.findings else EXIT_OK


@dataclass(slots=True)
class Wire:
    """The requests as they end; each is said to ``say`` at once, so that one that hangs is seen to."""

    say: Callable[[str], None] | None
    traces: list[Trace] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seen(self, trace: Trace) -> None:
        """Keep the request, and print it."""
        with self._lock:
            self.traces.append(trace)
            if self.say is not None:
                self.say(request_line(trace))


def _head(access: Access, reference: Reference) -> str:
    return "\n".join(
        (
            f"image        {reference.label}",
            f"registry     {reference.registry}, {access.named_by}",
            f"asked at     {access.client.origin}",
            "requests, as they end:",
        )
    )


def request_line(trace: Trace) -> str:
    """Return a request for people: its outcome, how long it took, what was read, and what was asked."""
    outcome = str(trace.status) if trace.error is None else str(trace.error.reason)
    shown = "with credentials" if trace.with_credentials else "anonymous"
    took = f"{trace.seconds * 1000:.0f} ms"
    url = plain(trace.url, _SHOWN_CHARACTERS)
    return f"  {outcome:<5}{took:>8}{trace.size:>9} bytes  {shown:<18}{trace.method} {url}"


def as_text(report: Report) -> str:
    """Return what follows the requests: credentials, what was found, and what is in the way, with its remedy."""
    lines = [f"credentials  {_credential(report)}"]
    if report.document is not None:
        lines.append(f"manifest     {report.document.digest}, {len(report.document.raw)} bytes")
        lines += [f"signature    {line}" for line in _candidates(report)]
    for finding in report.findings:
        lines += [f"finding      {finding.reason}: {finding.message}", f"             {finding.reason.remedy}"]
    if not report.findings:
        lines.append("ok: gate can read this image and what is signed about it")
    return "\n".join(lines)


def _credential(report: Report) -> str:
    if report.credential is not None:
        return f"{report.credential.kind.value} from {report.credential.source}"
    return "none"


def _candidates(report: Report) -> list[str]:
    found = [
        f"{each.format}, {each.location}" + (f": {each.reason}" if isinstance(each, RefusedCandidate) else "")
        for each in report.evidence.candidates
    ]
    return found or ["none found"]


def as_json(access: Access, reference: Reference, traces: list[Trace], report: Report) -> str:
    """Return everything as one line of JSON."""
    credential, document = report.credential, report.document
    return json.dumps(
        {
            "image": str(reference),
            "registry": reference.registry,
            "namedBy": access.named_by,
            "origin": str(access.client.origin),
            "credential": None if credential is None else {"kind": credential.kind.value, "source": credential.source},
            "requests": [_trace(trace) for trace in traces],
            "digest": None if document is None else str(document.digest),
            "signatures": [{"format": each.format, "location": each.location} for each in report.evidence.candidates],
            "findings": [_finding(finding) for finding in report.findings],
        }
    )


def _trace(trace: Trace) -> dict[str, object]:
    return {
        "method": trace.method,
        "url": trace.url,
        "withCredentials": trace.with_credentials,
        "milliseconds": round(trace.seconds * 1000, 1),
        "status": trace.status,
        "bytes": trace.size,
        "error": None if trace.error is None else str(trace.error.reason),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"reason": str(finding.reason), "message": finding.message, "remedy": finding.reason.remedy}
