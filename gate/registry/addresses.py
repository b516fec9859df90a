"""Which addresses gate connects to: a pure classification of IP addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressClass(Enum):
    """What an address is to gate."""

    NEVER = "never"  # link-local, metadata, unspecified, multicast: nobody may make gate connect there
    PRIVATE = "private"  # loopback, RFC 1918, unique local, shared and reserved ranges: for hosts the operator names
    PUBLIC = "public"  # globally reachable


Classify: TypeAlias = Callable[[str], AddressClass]
Admits: TypeAlias = Callable[[str], bool]

_NEVER: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network", RFC 1122 section 3.2.1.3; Linux connects 0.0.0.0 to itself
        "169.254.0.0/16",  # link-local, RFC 3927: metadata servers of Google, Amazon, Azure and others
        "100.100.100.200/32",  # metadata server of Alibaba Cloud, inside RFC 6598 space
        "168.63.129.16/32",  # Azure's host endpoint, inside public space
        "192.0.0.192/32",  # metadata server of Oracle Cloud, inside RFC 6890 space
        "224.0.0.0/4",  # multicast, RFC 5771
        "255.255.255.255/32",  # limited broadcast, RFC 919
        "::/128",  # unspecified, RFC 4291 section 2.5.2
        "fe80::/10",  # link-local, RFC 4291 section 2.5.6
        "fd00:ec2::254/128",  # metadata server of Amazon
        "fd20:ce::254/128",  # metadata server of Google
        "ff00::/8",  # multicast, RFC 4291 section 2.7
    )
)

# Beside what ipaddress calls not global: its answer for these differs between Python releases.
_PRIVATE: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # RFC 6598, pods and services on GKE
        "192.0.0.0/24",  # RFC 6890
        "192.88.99.0/24",  # RFC 7526
        "240.0.0.0/4",  # RFC 1112, pods and services on GKE
        "::/96",  # IPv4-compatible, RFC 4291 section 2.5.5.1
        "64:ff9b:1::/48",  # RFC 8215
        "100::/64",  # RFC 6666
        "2001::/23",  # RFC 2928
        "2001:db8::/32",  # RFC 3849
        "3fff::/20",  # RFC 9637
        "5f00::/16",  # RFC 9602
        "fc00::/7",  # unique local, RFC 4193
        "fec0::/10",  # site-local, RFC 3879
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1


def classify(address: str) -> AddressClass:
    """Return what ``address`` is; what is not an IP address is NEVER.

    An IPv6 address that carries an IPv4 address is as restricted as the more restricted of the two.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return AddressClass.NEVER
    classes = {_classify(each) for each in (parsed, *_embedded(parsed))}
    return next(each for each in AddressClass if each in classes)


def _classify(address: _Address) -> AddressClass:
    if any(address in network for network in _NEVER):
        return AddressClass.NEVER
    if any(address in network for network in _PRIVATE):
        return AddressClass.PRIVATE
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address in _NAT64):
        return AddressClass.PUBLIC  # only a wrapper: the address inside decides
    return AddressClass.PUBLIC if address.is_global else AddressClass.PRIVATE


def _embedded(address: _Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that a translator or tunnel on the way would take out of ``address``."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    teredo = address.teredo
    found = (address.ipv4_mapped, address.sixtofour, None if teredo is None else teredo[1])
    translated = (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),) if address in _NAT64 else ()
    return tuple(each for each in found if each is not None) + translated


def for_operators_hosts(classify: Classify) -> Admits:
    """Return the rule for hosts that the operator names, or that an ``allowPrivate`` registry names: all but NEVER."""
    return lambda address: classify(address) is not AddressClass.NEVER


def for_others_hosts(classify: Classify) -> Admits:
    """Return the rule for hosts that a tenant's object or a server names: PUBLIC alone."""
    return lambda address: classify(address) is AddressClass.PUBLIC
