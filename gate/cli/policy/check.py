"""``gate policy check``: mistakes, and what deserves a second look, each with its line."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gate.cli import options
from gate.cli.policy.mounts import add_mount_option
from gate.core import limits
from gate.core.errors import ConfigError, MalformedError
from gate.core.findings import Finding, Path, Severity, error, warning
from gate.core.lint import lint, unmatched
from gate.core.oci import LAYOUT_PREFIX, Reference
from gate.core.policy import NoMatch, Policy
from gate.core.quote import plain, quote
from gate.files import read_bounded
from gate.strictyaml import Node, Sequence, Table, parse

EXIT_OK, EXIT_FINDINGS = 0, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("policy", metavar="FILE", help="a policy file")
    parser.add_argument(
        "--image",
        dest="images",
        metavar="IMG",
        nargs="+",
        action="extend",
        default=[],
        help="images that some rule has to be about: registry/repository, whatever the tag",
    )
    add_mount_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print each finding, a line each; return 0 if there is none, 1 if there is any."""
    images = tuple(map(_image, arguments.images))
    settings = options.settings(arguments)
    path = pathlib.Path(arguments.policy)
    document = read_bounded(path, limits.POLICY_BYTES, "the policy")

    from gate import compose  # noqa: PLC0415 (help does not wait for it)

    try:
        policy = compose.load_policy_offline(settings, tuple(arguments.mounts))
    except ConfigError as problems:
        for line in problems.message.splitlines():
            print(_marked(line))
        return EXIT_FINDINGS
    name = plain(path.name)
    root = parse(document, limit=limits.POLICY_BYTES, name=name)
    found = sorted(_find(policy, images, compose.now(), root), key=lambda each: each.line)
    for each in found:
        print(each.of(name))
    if not found:
        print(f"{name}: no findings")
    return EXIT_FINDINGS if found else EXIT_OK


@dataclass(frozen=True, slots=True)
class _Placed:
    line: int
    finding: Finding

    def of(self, name: str) -> str:
        """Return the finding as compilers print theirs, which editors read."""
        return f"{name}:{self.line}: {self.finding.severity.value}: {self.finding.where}: {self.finding.message}"


def _find(policy: Policy, images: tuple[Reference, ...], now: datetime, root: Node) -> Iterator[_Placed]:
    for finding in (*lint(policy, now), *_unmatched(policy, images)):
        yield _Placed(line_of(root, finding.path), finding)


def _unmatched(policy: Policy, images: tuple[Reference, ...]) -> Iterator[Finding]:
    for image in unmatched(policy, images):
        if policy.no_match is NoMatch.DENY:
            yield error(("rules",), f"no enforce or warn rule is about {image.label}, which is denied")
        else:
            yield warning(("rules",), f"no enforce or warn rule is about {image.label}, which is admitted")


def line_of(root: Node, path: Path) -> int:
    """Return the line of what ``path`` leads to, or of the last thing on the way that is in the file."""
    node = root
    for part in path:
        inner = _inside(node, part)
        if inner is None:
            break
        node = inner
    return node.line


def _inside(node: Node, part: str | int) -> Node | None:
    match node, part:
        case Table(entries), str():
            return entries.get(part)
        case Sequence(items), int():
            return items[part]
        case _:
            return None


def _marked(problem: str) -> str:
    """Return a mistake that keeps the policy from loading, marked as an error as findings are."""
    where, colon, what = problem.partition(": ")
    return f"{where}: {Severity.ERROR.value}: {what}" if colon else f"{Severity.ERROR.value}: {problem}"


def _image(text: str) -> Reference:
    if text.startswith(LAYOUT_PREFIX):
        raise ConfigError(
            f"{quote(text)} is on disk, and rules are about images by name: name the repository it is for"
        )
    try:
        return Reference.parse(text)
    except MalformedError as malformed:
        raise ConfigError(malformed.message) from malformed
