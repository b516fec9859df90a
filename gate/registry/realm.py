"""Which token realms are believed: the rule of go-containerregistry.

A registry says where tokens for it are made. It is believed when the realm is the registry's own host or shares its
domain, over https, or when the operator lists it for this registry. What this leaves open: two parties below one domain
(``a.example.dev``, ``b.example.dev``) are taken for one, so a registry can have its user's password sent to the other.
It could ask for that password itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from urllib.parse import parse_qsl, urlencode

from gate.core.errors import MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import urls
from gate.registry.addresses import AddressClass, Classify
from gate.registry.urls import Origin

_OURS = frozenset({"scope", "service"})  # what gate says in the query itself
_DOMAIN_LABELS = 2
_COUNTRY_CHARACTERS = 2
# Second labels below which countries' registries sell names: under these, two labels are nobody's domain.
_SOLD_BELOW = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "or", "org"})


def token_url(realm: str, service: str | None, scope: str) -> str:
    """Return the URL that asks ``realm`` (which trusted() has accepted) for a token for ``scope``."""
    parts = urls.split(realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [("service", service)] if service else []
    return parts._replace(query=urlencode([*query, ("scope", scope)])).geturl()


def trusted(
    realm: str, registry: Origin, *, allow_private: bool, classify: Classify, listed: Container[str] = ()
) -> Origin:
    """Return the origin of ``realm`` if tokens for ``registry`` may come from it, else raise UnavailableError.

    ``listed`` holds the hosts (with a port other than 443) of realms that the operator lists.
    """
    try:
        origin = Origin.of(realm)
        parts = urls.split(realm)
    except MalformedError as error:
        raise urls.refused(f"the token realm of {quote(registry.netloc)}", error) from error
    if parts.fragment or any(name in _OURS for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise _refused(registry, "it asks for more than a token for the repository")
    if origin.scheme != "https" and not (registry.scheme == "http" and origin.host == registry.host):
        raise _refused(registry, "it is not https")
    believed = origin.host == registry.host or origin.netloc in listed
    if not believed and not _belongs(origin.host, registry.host, classify, allow_private=allow_private):
        raise _refused(registry, f"{quote(origin.host)} is another party than the registry")
    return origin


def _refused(registry: Origin, why: str) -> UnavailableError:
    return UnavailableError(
        Reason.REGISTRY_ADDRESS, f"the token realm that {quote(registry.netloc)} names is refused: {why}"
    )


def _belongs(host: str, registry: str, classify: Classify, *, allow_private: bool) -> bool:
    if is_address(host):
        return allow_private and classify(host) is AddressClass.PRIVATE
    return (domain := _domain(host)) is not None and domain == _domain(registry)


def is_address(host: str) -> bool:
    """Return whether ``host`` is an IP address in any notation that a resolver takes for one (``127.1``)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        return last.isdigit() or last.startswith("0x")
    return True


def _domain(host: str) -> str | None:
    """Return the last labels of ``host`` that one party is taken to own; None when it has too few."""
    labels = host.split(".")
    country = len(labels[-1]) == _COUNTRY_CHARACTERS
    needed = _DOMAIN_LABELS
    if len(labels) >= _DOMAIN_LABELS and country and labels[-2] in _SOLD_BELOW:
        needed += 1
    return ".".join(labels[-needed:]) if len(labels) >= needed else None
