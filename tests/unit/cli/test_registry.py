"""``gate registry check``: what it prints, without a registry."""

from __future__ import annotations

import pytest

from gate.cli import main
from gate.cli.registry import Wire, as_text, request_line
from gate.core.errors import UnavailableError
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate
from gate.registry.check import Finding, Report
from gate.registry.client import Document
from gate.registry.credentials import Credential
from gate.registry.trace import Trace

URL = "https://registry.example/v2/team/config/manifests/v1"


@pytest.mark.parametrize(
    "words",
    [["registry"], ["registry", "nope"], ["registry", "check"], ["registry", "check", "a.example/b", "--timeout", "0"]],
)
def test_words_that_make_no_check_are_misuse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: gate registry" in capsys.readouterr().err


@pytest.mark.parametrize("image", ["???", "registry.example/UPPER", "oci:bundle:v1:x"])
def test_what_is_no_image_is_misuse_in_one_sentence(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "check", image]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("gate registry: ")
    assert printed.err.count("\n") == 1


def test_a_request_is_one_line_of_outcome_time_bytes_and_what_was_asked() -> None:
    assert request_line(Trace("GET", URL, with_credentials=True, seconds=0.0431, status=200, size=1234)).split() == [
        "200", "43", "ms", "1234", "bytes", "with", "credentials", "GET", URL,
    ]  # fmt: skip


def test_a_request_without_an_answer_says_why() -> None:
    error = UnavailableError(Reason.REGISTRY_UNREACHABLE, "nobody there", outage=True)
    assert (
        request_line(Trace("GET", URL, with_credentials=False, seconds=2.0, error=error)).split()[0]
        == "registry-unreachable"
    )


@pytest.mark.parametrize("path", ["a b", "a\x1b[2J", "\u202ea", "a\nok: gate can read this", "x" * 300])
def test_where_a_registry_redirects_to_cannot_write_on_the_terminal(path: str) -> None:
    line = request_line(Trace("GET", f"https://cdn.example/{path}", with_credentials=False, seconds=0.1, status=200))
    assert line.isprintable()
    assert line.count('"') == 2
    assert len(line) < 300


def test_requests_are_said_as_they_end() -> None:
    said: list[str] = []
    wire = Wire(said.append)
    for status in (401, 200):
        wire.seen(Trace("GET", URL, with_credentials=False, seconds=0.1, status=status))
    assert [line.split()[0] for line in said] == ["401", "200"]


def test_the_source_of_a_credential_is_printed_and_never_the_credential() -> None:
    credential = Credential("s3cr3t", 'the Secret "registry-token" in "oci-webhook"')
    printed = as_text(Report(credential))
    assert 'credentials  access token from the Secret "registry-token" in "oci-webhook"' in printed
    assert "s3cr3t" not in printed


def test_a_finding_comes_with_its_remedy_and_without_an_ok() -> None:
    printed = as_text(Report(findings=(Finding(Reason.REGISTRY_UNAUTHORIZED, "it refused gate"),)))
    assert f"registry-unauthorized: it refused gate\n             {Reason.REGISTRY_UNAUTHORIZED.remedy}" in printed
    assert "ok: " not in printed


def test_what_lies_there_and_cannot_be_a_signature_is_listed_with_its_reason() -> None:
    refused = RefusedCandidate("simplesigning", "tag x.sig layer 0", Reason.MALFORMED, "it is no JSON")
    document = Document(Digest.of(b"{}"), None, b"{}")
    assert "simplesigning, tag x.sig layer 0: malformed" in as_text(Report(None, document, Evidence((refused,))))
    assert "signature    none found" in as_text(Report(None, document))
