"""One question to a registry: redirects followed with care, one retry, everything inside one deadline.

What an attacker can make look like an outage (``onUnavailable: allow``): whoever runs the registry
can answer 429 or 5xx, whoever sits on the way can drop packets, whoever shares the quota can use it up. Nothing else
here counts as an outage: not 401, 403, 404, not a refused redirect, not wrong or truncated bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import urls
from gate.registry.transport import Answer, Transport
from gate.registry.urls import Origin

REDIRECTS = 3  # hops; Artifact Registry uses one
RETRY_JITTER_SECONDS = (0.05, 0.25)  # wait before the one retry
RETRY_AFTER_SECONDS = 2  # the longest Retry-After that is waited for; a longer one ends the question
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 200, 401, 403, 404, 429
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Routes:
    """How one registry is reached: ``own`` for its origin, ``foreign`` for whom it names.

    Of those, its token realm alone may see its credentials, and only when realm.trusted() believes it.

    ``realms`` are the token realms that the operator lists, by host and port: they may be private, as all that an
    operator names.
    """

    origin: Origin
    own: Transport
    foreign: Transport
    realms: Mapping[str, Transport] = field(default_factory=dict)

    def to_realm(self, realm: Origin) -> Transport:
        """Return how a token realm that is believed is reached."""
        return self.own if realm.host == self.origin.host else self.realms.get(realm.netloc, self.foreign)

    def close(self) -> None:
        """Close idle connections now, and those in use when they are done."""
        for transport in (self.own, self.foreign, *self.realms.values()):
            transport.close()


@dataclass(frozen=True, slots=True)
class Question:
    """One GET at the registry's own origin: a path with its query, the media types wanted, and a body limit (bytes).

    ``name`` (quoted) is what is asked for. What is ``pushed`` is asked for by its digest: how large and how slow it is
    was decided by whoever pushed it.
    """

    path: str
    accept: str
    limit: int
    repository: str
    name: str
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How a retry waits: both arrive from outside, so that tests do not wait."""

    sleep: Callable[[float], None]
    jitter: Callable[[float, float], float]  # a random number of seconds between two


def follow(routes: Routes, question: Question, authorization: str | None, deadline: Deadline) -> Answer:
    """Return the answer to ``question``, redirects followed; raises UnavailableError when one is refused (O12)."""
    url, elsewhere = f"{routes.origin}{question.path}", False
    for _ in range(REDIRECTS + 1):
        headers = {"Accept": question.accept}
        if authorization is not None and not elsewhere:
            headers["Authorization"] = authorization
        transport = routes.foreign if elsewhere else routes.own
        answer = replace(transport.get(url, headers, question.limit, deadline), elsewhere=elsewhere)
        if answer.status not in _REDIRECT_STATUS:
            return answer
        url, target = _target(url, answer, routes.origin)
        # Once another party steers, gate does not come back with its credentials or to private addresses.
        elsewhere = elsewhere or target != routes.origin
    raise UnavailableError(
        Reason.REGISTRY_ERROR, f"{quote(routes.origin.netloc)} redirects more than {REDIRECTS} times"
    )


def _target(url: str, answer: Answer, registry: Origin) -> tuple[str, Origin]:
    """Return where a redirect points to: the registry itself, or anybody over https."""
    location = answer.headers.get("Location", "")
    try:
        target = urls.resolve(url, location)
        origin = Origin.of(target)
    except MalformedError as error:
        raise urls.refused(f"a redirect of {quote(registry.netloc)}", error) from error
    if origin != registry and origin.scheme != "https":
        message = f"a redirect of {quote(registry.netloc)} to {quote(str(origin))} is refused: it is not https"
        raise UnavailableError(Reason.REGISTRY_ADDRESS, message)
    return target, origin


def persist(attempt: Callable[[], Answer], patience: Patience, deadline: Deadline) -> Answer:
    """Return the answer of ``attempt``, tried once more after an outage, a 429 or a 5xx if the deadline allows."""
    try:
        answer = attempt()
    except UnavailableError as error:
        if not error.outage or not _wait(None, patience, deadline):
            raise
        return attempt()
    if not _passing(answer.status) or not _wait(answer.headers.get("Retry-After"), patience, deadline):
        return answer
    return attempt()


def _passing(status: int) -> bool:
    return status == TOO_MANY or status in _SERVER_ERRORS


def _wait(retry_after: str | None, patience: Patience, deadline: Deadline) -> bool:
    """Wait before a retry and return True, or return False at once when there is no time for one."""
    pause = patience.jitter(*RETRY_JITTER_SECONDS)
    if retry_after is not None:
        if not (retry_after.isascii() and retry_after.isdigit()) or int(retry_after[:6]) > RETRY_AFTER_SECONDS:
            return False  # too long, or a date: asking earlier than we were told helps nobody
        pause = max(pause, float(retry_after))
    if deadline.at - deadline.clock() <= pause:
        return False
    patience.sleep(pause)
    return True


def check_status(answer: Answer, who: str, what: str) -> None:
    """Raise the error of status_error(), if there is one."""
    error = status_error(answer, who, what)
    if error is not None:
        raise error


def status_error(answer: Answer, who: str, what: str) -> UnavailableError | None:
    """Return what a status other than 200 stands for, saying ``who`` answered, ``what`` it was."""
    status = answer.status
    if status == OK:
        return None
    message = f"{who} answered {status} when {what}"
    if status == TOO_MANY:
        return UnavailableError(Reason.REGISTRY_LIMITED, message, outage=True)
    if status in _SERVER_ERRORS:
        return UnavailableError(Reason.REGISTRY_ERROR, message, outage=True)
    if status in (UNAUTHORIZED, FORBIDDEN) and not answer.elsewhere:
        return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
    return UnavailableError(Reason.REGISTRY_ERROR, message)
