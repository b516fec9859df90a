"""The images of a command line: each in a registry, or on disk as ``oci:DIR``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.oci import LAYOUT_PREFIX, Reference
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.subjects import Image
from gate.core.verdict import Decision, Denied, Unavailable

if TYPE_CHECKING:  # help does not wait for a registry client
    from gate.core.deadline import Deadline
    from gate.core.policy import Context, Policy
    from gate.registry.layout import Layout, LayoutImage

HELP = "registry/repository[:tag][@sha256:digest], or on disk oci:DIR[:tag] (an OCI layout)"
# What an image on disk is called where nobody says: no registry can have a name without a dot, a colon or "localhost".
UNNAMED = Reference("oci-layout", "image")


def add_name_option(parser: argparse.ArgumentParser) -> None:
    """Add what an image on disk is called, which decides the rules it is held to."""
    parser.add_argument(
        "--as", dest="known_as", metavar="NAME", help="registry/repository: the name of images given as oci:DIR"
    )


@dataclass(frozen=True, slots=True)
class OnDisk:
    """An image in a layout, and the repository that the policy is to take it for."""

    image: LayoutImage
    name: Reference

    def decide(self, policy: Policy, context: Context, deadline: Deadline) -> Decision:
        """Return the decision on the image, in which nothing but its layout is read; ConfigError if there is none."""
        from gate import compose  # noqa: PLC0415 (help does not wait for it)
        from gate.registry.layout import Layout  # noqa: PLC0415 (the same)

        where = quote(str(self.image.directory))
        try:
            layout = Layout.open(self.image.directory)
            document = layout.subject(self.image)
        except UnavailableError as error:
            message = f"{error.reason}: {where}: {error.message}; {error.reason.advice}"
            return Decision(Unavailable(error.reason, message))
        except MalformedError as error:
            return Decision(Denied(Reason.MALFORMED, f"{Reason.MALFORMED}: {where}: {error.message}"))
        if document is None:
            return Decision(Denied(Reason.NOT_FOUND, f"{Reason.NOT_FOUND}: {where} {_lacks(layout, self.image)}"))
        with compose.open_layout(layout) as gate:
            return gate.decide(policy, Image(self.name.at(document.digest)), context, deadline)


@dataclass(frozen=True, slots=True)
class Named:
    """One IMAGE of a command line: what was written, and what it names."""

    text: str
    at: Reference | OnDisk

    @classmethod
    def parse(cls, text: str, name: Reference | None) -> Self:
        """Return the image, ``name`` being what one on disk is called; ConfigError for what is no image."""
        try:
            if not text.startswith(LAYOUT_PREFIX):
                return cls(text, Reference.parse(text))
            from gate.registry.layout import LayoutImage  # noqa: PLC0415 (only here)

            return cls(text, OnDisk(LayoutImage.parse(text), name or UNNAMED))
        except MalformedError as error:
            raise ConfigError(error.message) from error


def parse_images(texts: Sequence[str], known_as: str | None, policy: Path | None) -> tuple[Named, ...]:
    """Return the images, or raise ConfigError; for one on disk a policy file needs to know what it is called.

    What a layout says of its own name is not believed: whoever made it would choose the rules that it is held to.
    """
    on_disk = [text for text in texts if text.startswith(LAYOUT_PREFIX)]
    if known_as is not None and not on_disk:
        raise ConfigError("--as names images on disk, and none is given as oci:DIR")
    if on_disk and known_as is None and policy is not None:
        raise ConfigError(
            f"{quote(on_disk[0])}: the rules of {quote(str(policy))} match images by name; say which image this is:"
            " --as REGISTRY/REPOSITORY"
        )
    name = None if known_as is None else _repository(known_as)
    return tuple(Named.parse(text, name) for text in texts)


def _repository(text: str) -> Reference:
    try:
        return Reference.parse_repository(text)
    except MalformedError as error:
        raise ConfigError(f"--as: {error.message}; which image of it, oci:DIR[:tag] says") from error


def _lacks(layout: Layout, image: LayoutImage) -> str:
    wanted = image.tag or image.digest
    what = "holds no image" if wanted is None else f"holds no {quote(str(wanted))}"
    known = ", ".join(map(quote, layout.names))
    return f"{what}; it has {known}" if known else what
