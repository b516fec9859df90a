from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from gate.demo.certificate import SERVICE, issue

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", SERVICE])
def test_the_certificate_is_good_for_every_name_the_webhook_is_called_by(name: str) -> None:
    serving = issue(NOW)
    certificate = x509.load_pem_x509_certificate(serving.certificate)
    subject: x509.IPAddress | x509.DNSName = x509.DNSName(name)
    if name[0].isdigit():
        subject = x509.IPAddress(ipaddress.ip_address(name))
    authority = Store([x509.load_pem_x509_certificate(serving.authority)])
    verifier = PolicyBuilder().store(authority).time(NOW).build_server_verifier(subject)
    assert verifier.verify(certificate, [])
    stranger = Store([x509.load_pem_x509_certificate(issue(NOW).authority)])
    with pytest.raises(VerificationError):
        PolicyBuilder().store(stranger).time(NOW).build_server_verifier(subject).verify(certificate, [])


def test_the_key_is_the_certificates_and_both_live_for_a_day() -> None:
    serving = issue(NOW)
    certificate = x509.load_pem_x509_certificate(serving.certificate)
    assert load_pem_private_key(serving.key, None).public_key() == certificate.public_key()
    assert certificate.not_valid_after_utc == NOW + timedelta(days=1)
    assert certificate.not_valid_before_utc < NOW


def test_no_two_demos_share_a_key() -> None:
    assert issue(NOW).key != issue(NOW).key
