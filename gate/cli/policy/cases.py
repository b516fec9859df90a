"""Cases of ``gate policy test``: what is asked, and which answer is expected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gate.core import limits
from gate.core.errors import ConfigError, MalformedError
from gate.core.oci import Reference
from gate.core.policy import Context
from gate.core.quote import plain, quote
from gate.core.reasons import Reason
from gate.core.rfc3339 import parse_instant
from gate.fields import Fields, Problems
from gate.files import read_bounded
from gate.strictyaml import parse
from gate.trust.mounts import Mount
from gate.trust.policyrules import OBJECT_KINDS

API_VERSION, KIND = "gate/v1", "PolicyTest"
CASE_NAME = re.compile(r"(?:.*\.)?case\.ya?ml", re.DOTALL)
CASE_BYTES = 64 * limits.KIB  # one case has a few hundred bytes
CASES = 10_000  # of one call

_DECISIONS = {"allow": True, "deny": False}
_REASONS = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer: whether it is admitted, for which reason, and words of its message; None and "" for any."""

    allowed: bool
    reason: Reason | None
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An image, and the object that would ask for it."""

    image: Reference
    context: Context


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a policy. ``now`` is when it is asked, None for the time of the run.

    ``question`` is the bytes of a recorded AdmissionReview, or an image. ``layouts`` are the repositories that lie on
    disk, ``mounts`` the files that the policy names as a cluster has them.
    """

    name: str
    policy: Path
    question: bytes | Asked
    layouts: tuple[tuple[Reference, Path], ...]
    mounts: tuple[Mount, ...]
    now: datetime | None
    expected: Expected


def find_cases(directory: Path) -> tuple[Case, ...]:
    """Return every case in ``directory`` and below, in the order of their names, or raise ConfigError.

    All mistakes of all cases are told at once; no case at all is one: nothing would have been tested.
    """
    found = sorted(_case_files(directory))
    if not found:
        raise ConfigError(f"{quote(str(directory))} holds no case: no file is named case.yaml or ends in .case.yaml")
    cases, problems = [], []
    for path in found:
        try:
            cases.append(read_case(path, path.relative_to(directory).as_posix()))
        except ConfigError as error:
            problems.append(error.message)
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(cases)


def _case_files(directory: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ConfigError(f"{quote(str(error.filename))} cannot be read: {error.strerror}") from error

    number = 0
    for folder, _, names in os.walk(directory, onerror=refuse):
        for name in names:
            if CASE_NAME.fullmatch(name) is not None:
                number += 1
                yield Path(folder, name)
        if number > CASES:
            raise ConfigError(f"{quote(str(directory))} holds more than {CASES} cases")


def read_case(path: Path, name: str) -> Case:
    """Return the case in the file, or raise ConfigError with every mistake; ``name`` is what messages call it."""
    problems = Problems(plain(name))
    document = read_bounded(path, CASE_BYTES, "the case")
    node = parse(document, limit=CASE_BYTES, name=problems.name)
    fields = Fields.of(node, "", node.line, problems)
    fields.choice("apiVersion", {API_VERSION: API_VERSION})
    fields.choice("kind", {KIND: KIND})
    policy = fields.text("policy")
    question = _question(fields, path.parent)
    layouts = _layouts(fields, path.parent)
    mounts = tuple(_mount(section, path.parent) for section in fields.sections("mounts"))
    now = fields.parsed("now", parse_instant) if fields.has("now") else None
    expected = _expected(fields.section("expect", required=True))
    fields.finish()
    problems.raise_any()
    return Case(name, path.parent / policy, question, layouts, mounts, now, expected)


def _question(fields: Fields, directory: Path) -> bytes | Asked:
    """Return what is asked; a stand-in where a problem is recorded."""
    given = fields.one_of("review", "image")
    if given == "review":
        read = fields.parsed("review", lambda name: read_bounded(directory / name, limits.REVIEW_BYTES, "the review"))
        return read or b""
    context = _context(fields.section("object"))
    image = fields.parsed("image", Reference.parse) if given == "image" else None
    return b"" if image is None else Asked(image, context)


def _context(fields: Fields) -> Context:
    kind = fields.choice("kind", {kind: kind for kind in OBJECT_KINDS}) if fields.has("kind") else None
    namespace = fields.text("namespace") if fields.has("namespace") else None
    name = fields.text("name") if fields.has("name") else None
    fields.finish()
    return Context(kind, namespace, name)


def _layouts(fields: Fields, directory: Path) -> tuple[tuple[Reference, Path], ...]:
    found: dict[Reference, Path] = {}
    for section in fields.sections("layouts"):
        repository = section.parsed("repository", Reference.parse_repository)
        layout = section.text("directory")
        section.finish()
        if repository is not None and repository in found:
            section.wrong("repository", f"found {quote(str(repository))} a second time, expected it once")
        elif repository is not None:
            found[repository] = directory / layout
    return tuple(found.items())


def _mount(fields: Fields, directory: Path) -> Mount:
    path = fields.parsed("path", _absolute)
    mounted = fields.text("directory")
    fields.finish()
    return Mount(path or Path("/"), directory / mounted)


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise MalformedError(f"found {quote(text)}, expected a path that begins with /, as the policy names it")
    return Path(text)


def _expected(fields: Fields) -> Expected:
    allowed = fields.choice("decision", _DECISIONS)
    reason = fields.choice("reason", _REASONS) if fields.has("reason") else None
    message = fields.text("message", "")
    fields.finish()
    return Expected(allowed, reason, message)
