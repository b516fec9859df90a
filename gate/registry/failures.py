"""What the exceptions of requests, urllib3, http.client and ssl mean for a question to a registry.

Which failures count as an outage (``onUnavailable: allow``) is decided here and in exchange.py.
Whoever sits between gate and the registry can drop packets, so "not reachable" can be provoked and has to count. An
untrusted certificate, garbage instead of HTTP, a broken-off body, an oversized body or a refused address does not:
these are answers of somebody, and no honest outage looks like them.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Sequence

import urllib3

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import sockets
from gate.registry.urls import Origin

# What requests, urllib3 and http.client raise for what a peer does; ValueError for unreadable numbers.
RAISED = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError)
# OpenSSL's names of the alerts by which a server refuses a client's certificate or its absence: RFC 8446 section 6.2.
_ALERT = re.compile(r"\w+_ALERT_(?:CERTIFICATE_\w+|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA)", re.ASCII)


class HandshakeError(OSError):
    """What went wrong did so before there was a TLS connection."""


def before_answer(error: Exception, origin: Origin, deadline: Deadline) -> UnavailableError:
    """Return what ``error``, raised before an answer was there, means."""
    deadline.remaining()
    causes = _causes(error)
    meant = _meaning(causes, quote(origin.netloc))
    if meant.outage and any(isinstance(cause, HandshakeError) for cause in causes):
        return sockets.ConnectError(meant.message, origin.host, origin.port)
    return meant


def within_body(error: Exception, origin: Origin, deadline: Deadline) -> UnavailableError:
    """Return what ``error``, raised within a body, means: a partial answer is no outage, silence is one."""
    deadline.remaining()
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return before_answer(error, origin, deadline)
    return UnavailableError(Reason.REGISTRY_ERROR, f"{quote(origin.netloc)} broke off in the middle of a body")


def _meaning(causes: Sequence[BaseException], name: str) -> UnavailableError:
    for cause in causes:
        match cause:
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ConnectionError():
                message = f"{name} closed the connection without an answer"
                return UnavailableError(Reason.REGISTRY_UNREACHABLE, message, outage=True)
            case ssl.SSLError():
                return _tls(cause, name)
            case TimeoutError():
                message = f"{name} sent nothing for {sockets.SILENCE_SECONDS:g} seconds"
                return UnavailableError(Reason.REGISTRY_UNREACHABLE, message, outage=True)
            case http.client.HTTPException():
                return UnavailableError(Reason.REGISTRY_ERROR, f"{name} does not answer in HTTP")
            case _:
                continue
    return UnavailableError(Reason.REGISTRY_ERROR, f"the answer of {name} cannot be read")


def _tls(error: ssl.SSLError, name: str) -> UnavailableError:
    """Return why there is no TLS connection with ``name``, although it answers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        message = f"the certificate of {name} is not trusted: {quote(error.verify_message)}"
        return UnavailableError(Reason.REGISTRY_UNREACHABLE, message)
    if _ALERT.fullmatch(error.reason or "") is not None:
        message = f"{name} wants a client certificate, or another one: see its clientCertFile"
        return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
    return UnavailableError(Reason.REGISTRY_UNREACHABLE, f"{name} does not speak TLS 1.2 or later as gate does")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__ or _wrapped(cause)
    return found


def _wrapped(error: BaseException) -> BaseException | None:
    """Return what urllib3 wraps without raising from it, if ``error`` is such a wrapper."""
    inner = error.args[0] if isinstance(error, urllib3.exceptions.SSLError) and error.args else None
    return inner if isinstance(inner, BaseException) else None
