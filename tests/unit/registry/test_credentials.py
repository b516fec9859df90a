from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.credentials import (
    TOKEN_BYTES,
    AccessToken,
    Anonymous,
    Credential,
    HostGlobs,
    token_in_file,
)
from gate.registry.reread import FRESH_SECONDS, REREAD_SECONDS

DEFAULT = HostGlobs.parse(("*.pkg.dev", "gcr.io", "*.gcr.io"))
HOST = "us-docker.pkg.dev"
REPOSITORY = "acme/config"
SOON = Deadline(1.0, lambda: 0.0)
ABSENT = ConfigError("there is no Secret")
API_DOWN = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the API server does not answer")


@dataclass(slots=True)
class Stored:
    """What a reader finds: bytes, or an error."""

    content: bytes | Exception = b"first"
    reads: int = 0
    now: float = 1000.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> bytes:
        with self.lock:
            self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def token(self, *, optional: bool = False) -> AccessToken:
        return AccessToken(self.read, 'the Secret "registry-token"', DEFAULT, lambda: self.now, optional=optional)


def shown(token: AccessToken, *, fresh: bool = False) -> str | None:
    credential = token.credential(HOST, REPOSITORY, SOON, fresh=fresh)
    return None if credential is None else credential.token


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("us-docker.pkg.dev", True),
        ("europe-west1-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("pkg.dev", False),
        ("a.b.pkg.dev", False),
        ("us-docker.pkg.dev.evil.example", False),
        ("evilpkg.dev", False),
        ("notgcr.io", False),
        ("gcr.io.evil.example", False),
        ("us-docker.pkg.dev:8443", False),
        ("a:b.pkg.dev", False),
        ("docker.io", False),
        ("127.0.0.1:5000", False),
        ("us-docker.pkg.dev\n", False),
    ],
)
def test_the_token_goes_to_the_default_hosts_alone(host: str, expected: bool) -> None:
    assert DEFAULT.match(host) is expected
    assert (Stored().token().credential(host, REPOSITORY, SOON, fresh=False) is not None) is expected


def test_a_star_stands_for_part_of_one_label() -> None:
    globs = HostGlobs.parse(("us-*.pkg.dev", "registry.example:5000"))
    assert globs.match("us-docker.pkg.dev")
    assert not globs.match("eu-docker.pkg.dev")
    assert globs.match("registry.example:5000")
    assert not globs.match("registry.example")


@pytest.mark.parametrize(
    "glob", ["", "*", "*.*", "a.*", "a.example:*", "https://a.example", "a.example/x", "a..b", "a b", "[a]"]
)
def test_a_pattern_that_is_too_wide_or_none_is_a_config_error(glob: str) -> None:
    with pytest.raises(ConfigError, match="GATE_TOKEN_HOSTS"):
        HostGlobs.parse((glob,))


@given(st.text(max_size=30))
def test_any_pattern_is_read_or_a_config_error(glob: str) -> None:
    try:
        globs = HostGlobs.parse((glob,))
    except ConfigError:
        return
    assert not globs.match("evil.example") or "evil" in glob or "*" in glob


def test_the_token_is_never_printed() -> None:
    stored = Stored(b"sesame")
    token = stored.token()
    assert "sesame" not in repr(token.credential(HOST, REPOSITORY, SOON, fresh=False))
    assert "sesame" not in repr(token)
    assert repr(Credential("sesame", "x")) == "Credential(source='x')"


def test_white_space_around_the_token_is_dropped() -> None:
    assert shown(Stored(b"\n ya29.token \r\n").token()) == "ya29.token"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"a\r\nX-Evil: 1", b"\xc3\xa4", b"\x00", b"a" * (TOKEN_BYTES + 1)]
)
def test_what_is_no_token_is_a_config_error_that_does_not_show_it(content: bytes) -> None:
    with pytest.raises(ConfigError, match="registry-token") as caught:
        Stored(content).token().check()
    assert "Evil" not in caught.value.message


def test_a_token_is_read_again_after_a_minute() -> None:
    stored = Stored()
    token = stored.token()
    token.check()
    stored.content = b"second"
    stored.now += REREAD_SECONDS - 1
    assert (shown(token), stored.reads) == ("first", 1)
    stored.now += 1
    assert (shown(token), stored.reads) == ("second", 2)


def test_a_refused_token_is_read_again_at_once_and_then_once_a_second() -> None:
    stored = Stored()
    token = stored.token()
    token.check()
    stored.content = b"second"
    assert shown(token, fresh=True) == "second"
    assert [shown(token, fresh=True) for _ in range(3)] == ["second"] * 3
    assert stored.reads == 2
    stored.now += FRESH_SECONDS
    shown(token, fresh=True)
    assert stored.reads == 3


def test_a_required_token_that_is_absent_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="no Secret"):
        Stored(ABSENT).token().check()


def test_an_optional_token_that_is_absent_is_asked_for_again_after_a_minute() -> None:
    stored = Stored(ABSENT)
    token = stored.token(optional=True)
    token.check()
    stored.content = b"late"
    assert shown(token) is None
    stored.now += REREAD_SECONDS
    assert shown(token) == "late"


def test_an_optional_token_that_is_absent_stays_so_while_the_api_server_is_down() -> None:
    stored = Stored(ABSENT)
    token = stored.token(optional=True)
    token.check()
    stored.content = API_DOWN
    stored.now += REREAD_SECONDS
    assert shown(token) is None


@pytest.mark.parametrize("optional", [True, False])
def test_a_token_that_was_there_and_is_gone_is_not_silently_anonymous(optional: bool) -> None:
    stored = Stored()
    token = stored.token(optional=optional)
    token.check()
    stored.content = ABSENT
    stored.now += REREAD_SECONDS
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no Secret") as caught:
            token.credential(HOST, REPOSITORY, SOON, fresh=False)
        assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
    stored.content = b"back"
    stored.now += FRESH_SECONDS
    assert shown(token) == "back"


def test_a_token_that_is_known_is_used_while_the_api_server_is_down() -> None:
    stored = Stored()
    token = stored.token()
    token.check()
    stored.content = API_DOWN
    stored.now += REREAD_SECONDS
    assert shown(token) == "first"


@pytest.mark.parametrize("optional", [True, False])
def test_a_token_that_could_never_be_read_is_not_silently_anonymous(optional: bool) -> None:
    stored = Stored(API_DOWN)
    token = stored.token(optional=optional)
    token.check()
    with pytest.raises(UnavailableError):
        token.credential(HOST, REPOSITORY, SOON, fresh=False)
    assert stored.reads == 1  # not at every request while it fails
    stored.content = b"first"
    stored.now += FRESH_SECONDS
    assert shown(token) == "first"


def test_other_hosts_do_not_cause_a_read() -> None:
    stored = Stored()
    assert stored.token().credential("evil.example", REPOSITORY, SOON, fresh=True) is None
    assert stored.reads == 0


def test_many_refusals_at_once_cause_one_read() -> None:
    stored = Stored()
    token = stored.token()
    token.check()
    stored.content = b"second"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: shown(token, fresh=True), range(64)))
    assert (found, stored.reads) == ({"second"}, 2)


def test_nobody_has_credentials_of_anonymous() -> None:
    assert Anonymous().credential(HOST, REPOSITORY, SOON, fresh=True) is None


def test_a_token_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"abc\n")
    assert token_in_file(tmp_path / "token")() == b"abc\n"


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_token_file_that_cannot_be_read_is_a_config_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="token file"):
        token_in_file(tmp_path / name)()


def test_a_token_file_that_is_no_token_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"x" * 2 * TOKEN_BYTES)
    assert len(token_in_file(path)()) == TOKEN_BYTES + 1
