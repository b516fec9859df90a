from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.registry.addresses import AddressClass, classify, for_operators_hosts, for_others_hosts

NEVER, PRIVATE, PUBLIC = AddressClass.NEVER, AddressClass.PRIVATE, AddressClass.PUBLIC


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", PUBLIC),
        ("2606:4700::1111", PUBLIC),
        ("::ffff:8.8.8.8", PUBLIC),
        ("64:ff9b::808:808", PUBLIC),
        ("127.0.0.1", PRIVATE),
        ("127.8.9.10", PRIVATE),
        ("::1", PRIVATE),
        ("10.0.0.1", PRIVATE),
        ("172.16.0.1", PRIVATE),
        ("192.168.0.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("198.18.0.1", PRIVATE),
        ("192.0.2.1", PRIVATE),
        ("240.0.0.1", PRIVATE),
        ("fc00::1", PRIVATE),
        ("fd12:3456::1", PRIVATE),
        ("fec0::1", PRIVATE),
        ("::ffff:10.0.0.1", PRIVATE),
        ("64:ff9b::a00:1", PRIVATE),
        ("2002:a00:1::1", PRIVATE),
        ("::127.0.0.1", PRIVATE),
        ("169.254.169.254", NEVER),
        ("169.254.169.252", NEVER),
        ("169.254.0.1", NEVER),
        ("fe80::1", NEVER),
        ("fe80::1%eth0", NEVER),
        ("fd00:ec2::254", NEVER),
        ("fd20:ce::254", NEVER),
        ("100.100.100.200", NEVER),
        ("168.63.129.16", NEVER),
        ("192.0.0.192", NEVER),
        ("0.0.0.0", NEVER),
        ("0.1.2.3", NEVER),
        ("::", NEVER),
        ("224.0.0.1", NEVER),
        ("239.255.255.250", NEVER),
        ("255.255.255.255", NEVER),
        ("ff02::1", NEVER),
        ("::ffff:169.254.169.254", NEVER),
        ("::ffff:0.0.0.0", NEVER),
        ("64:ff9b::a9fe:a9fe", NEVER),
        ("2002:a9fe:a9fe::1", NEVER),
        ("2001:0:808:808::5601:5601", NEVER),  # Teredo: the client's address is 169.254.169.254, inverted
        ("", NEVER),
        ("localhost", NEVER),
        ("010.0.0.1", NEVER),
    ],
)
def test_an_address_has_one_class(address: str, expected: AddressClass) -> None:
    assert classify(address) is expected


def test_who_names_a_host_decides_where_it_may_be() -> None:
    operators, others = for_operators_hosts(classify), for_others_hosts(classify)
    assert [operators(address) for address in ("8.8.8.8", "10.0.0.1", "169.254.169.254")] == [True, True, False]
    assert [others(address) for address in ("8.8.8.8", "10.0.0.1", "169.254.169.254")] == [True, False, False]


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_makes_it_no_freer(address: ipaddress.IPv4Address) -> None:
    order = list(AddressClass)
    number = int(address)
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}"):
        assert order.index(classify(wrapped)) <= order.index(classify(str(address)))


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_never_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if classify(str(address)) is PUBLIC and not (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped):
        assert address.is_global or address in ipaddress.ip_network("64:ff9b::/96")
        assert not address.is_multicast


@given(st.text())
def test_any_text_has_a_class(text: str) -> None:
    assert classify(text) in AddressClass
