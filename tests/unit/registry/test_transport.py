from __future__ import annotations

import pytest

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.transport import Answer, _same_origin
from gate.registry.urls import Origin


def test_a_url_in_which_requests_reads_another_host_is_not_asked() -> None:
    assert _same_origin("https://a.example/x", "https://a.example:443/y") == Origin("https", "a.example", 443)
    for understood in ("https://b.example/x", "http://a.example/x", "https://a.example:8443/x", "", None):
        with pytest.raises(UnavailableError) as caught:
            _same_origin("https://a.example/x", understood)
        assert caught.value.reason is Reason.REGISTRY_ADDRESS


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Application/JSON; charset=utf-8", "application/json"), (" a/b ", "a/b"), ("", None), (";x", None)],
)
def test_a_media_type_has_no_parameters(header: str, expected: str | None) -> None:
    assert Answer(200, {"Content-Type": header}).media_type == expected
