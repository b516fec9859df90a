"""``gate policy explain``: which rules are about an image, and what would satisfy them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from gate.cli import images, options
from gate.cli.images import Named
from gate.cli.policy.mounts import add_mount_option
from gate.core.errors import ConfigError
from gate.core.explain import Explained, Explanation, explain
from gate.core.oci import Reference
from gate.core.policy import Context
from gate.core.quote import quote

EXIT_OK, EXIT_FINDINGS = 0, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("policy", metavar="FILE", help="a policy file")
    parser.add_argument("image", metavar="IMAGE", help=images.HELP)
    images.add_name_option(parser)
    options.add_context_options(parser)
    add_mount_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what the policy says of the image; return 0 if it can be admitted, 1 if no signature helps."""
    settings = options.settings(arguments)
    (named,) = images.parse_images([arguments.image], arguments.known_as, settings.policy)

    from gate import compose  # noqa: PLC0415 (help does not wait for it)

    policy = compose.load_policy_offline(settings, tuple(arguments.mounts))
    reference, context = _reference(named), options.context(arguments)
    explanation = explain(policy, reference, context, compose.now())
    print("\n".join(as_text(reference, context, explanation)))
    return EXIT_FINDINGS if explanation.hopeless else EXIT_OK


def _reference(named: Named) -> Reference:
    """Return what the image is called; of one on disk its digest is looked up, nothing else."""
    if isinstance(named.at, Reference):
        return named.at
    from gate.registry.layout import Layout  # noqa: PLC0415 (help does not wait for it)

    document = Layout.open(named.at.image.directory).subject(named.at.image)
    if document is None:
        raise ConfigError(f"{quote(named.text)}: the layout has no such image")
    return named.at.name.at(document.digest)


def as_text(reference: Reference, context: Context, explanation: Explanation) -> Iterator[str]:
    """Yield the explanation for people: what follows first, then each rule."""
    yield f"image     {reference.label}"
    yield f"asked by  {_asker(context)}"
    yield f"verdict   {explanation.conclusion}"
    yield from (f"besides   {sentence}" for sentence in explanation.leniency)
    for each in explanation.rules:
        yield from _rule(each)


def _asker(context: Context) -> str:
    name = "/".join(part or "*" for part in (context.namespace, context.name))
    return f"{context.kind or 'any object'} {name}" if context != Context() else "nobody in particular"


def _rule(each: Explained) -> Iterator[str]:
    head = f"rule {quote(each.rule.name)} ({each.rule.mode.value})"
    if each.mismatch is not None:
        yield f"{head} is not about it: {each.mismatch}"
        return
    yield f"{head} is about it"
    yield from (f"  {line}" for line in each.wanted)
