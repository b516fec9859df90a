"""Logins in docker's format: which entry is for which image, and what an entry holds."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.registry.credentials import Credential, Kind
from gate.registry.dockerconfig import CONFIG_BYTES, ENTRIES, SECRET_CHARACTERS, DockerConfig, DockerConfigSource
from gate.registry.reread import FRESH_SECONDS, REREAD_SECONDS

SOURCE = 'the Secret "registry-dockerconfig" in "oci-webhook"'
SOON = Deadline(1.0, lambda: 0.0)


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def config(auths: object, **others: object) -> bytes:
    return json.dumps({"auths": auths, **others}).encode()


def parsed(*keys: str) -> DockerConfig:
    """Return a configuration whose users are named after the keys they stand under."""
    entries = {key: {"username": f"user{number}", "password": key} for number, key in enumerate(keys)}
    return DockerConfig.parse(config(entries), SOURCE)


def key_for(found: DockerConfig, host: str, repository: str) -> str | None:
    credential = found.find(host, repository)
    return None if credential is None else credential.token


def only(entry: dict[str, object]) -> Credential | None:
    return DockerConfig.parse(config({"r.example": entry}), SOURCE).find("r.example", "app")


# What the kubelet's own tests and Kubernetes' documentation say ("Interpretation of config.json").
@pytest.mark.parametrize(
    ("key", "host", "repository", "expected"),
    [
        ("r.example", "r.example", "app", True),
        ("r.example", "R.example", "app", False),  # hosts arrive in lower case
        ("R.Example", "r.example", "app", True),
        ("https://r.example", "r.example", "app", True),
        ("http://r.example", "r.example", "app", True),
        ("https://r.example/v1/", "r.example", "app", True),
        ("r.example/v2/", "r.example", "app", True),
        ("r.example/", "r.example", "app", True),
        ("r.example", "s.example", "app", False),
        ("r.example", "r.example.evil", "app", False),
        ("example", "r.example", "app", False),
        ("r.example:5000", "r.example:5000", "app", True),
        ("r.example", "r.example:5000", "app", False),
        ("r.example:5000", "r.example", "app", False),
        ("r.example:5001", "r.example:5000", "app", False),
        ("*.example", "r.example", "app", True),
        ("*.example", "example", "app", False),
        ("*.example", "a.r.example", "app", False),
        ("*.*.example", "a.r.example", "app", True),
        ("*.r.example", "a.r.example", "app", True),
        ("r*.example", "r1.example", "app", True),
        ("r?.example", "r1.example", "app", True),
        ("r?.example", "r12.example", "app", False),
        ("r[0-9].example", "r1.example", "app", True),
        ("r[^0-9].example", "r1.example", "app", False),
        ("*.example:5000", "r.example:5000", "app", True),
        ("*.example:5000", "r.example:50000", "app", False),
        ("r.example/team", "r.example", "team/app", True),
        ("r.example/team", "r.example", "teammate/app", True),  # a prefix of characters, as the kubelet has it
        ("r.example/team/", "r.example", "teammate/app", False),
        ("r.example/team", "r.example", "other/app", False),
        ("r.example/team/app", "r.example", "team", False),
        ("[::1]:5000", "[::1]:5000", "app", True),
        ("127.0.0.1:5000", "127.0.0.1:5000", "app", True),
        ("user:pw@r.example", "r.example", "app", False),
        ("https://", "r.example", "app", False),
        ("r[z-a].example", "rz.example", "app", False),
        ("r.example\n", "r.example", "app", False),
    ],
)
def test_an_entry_is_for_the_images_that_the_kubelet_takes_it_for(
    key: str, host: str, repository: str, expected: bool
) -> None:
    assert (parsed(key).find(host, repository) is not None) is expected


def test_the_longest_entry_is_tried_first() -> None:
    found = parsed("r.example", "r.example/team", "r.example/team/app", "*.example")
    assert key_for(found, "r.example", "team/app/web") == "r.example/team/app"
    assert key_for(found, "r.example", "team/other") == "r.example/team"
    assert key_for(found, "r.example", "other") == "r.example"
    assert key_for(found, "s.example", "other") == "*.example"


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("key", ["docker.io", "index.docker.io", "https://index.docker.io/v1/"])
def test_docker_hub_is_found_by_each_of_its_names(key: str, host: str) -> None:
    assert key_for(parsed(key), host, "library/nginx") == key


def test_docker_hubs_short_name_is_preferred() -> None:
    found = parsed("https://index.docker.io/v1/", "docker.io")
    assert key_for(found, "registry-1.docker.io", "library/nginx") == "docker.io"


def test_docker_hubs_login_is_for_nobody_else() -> None:
    assert key_for(parsed("https://index.docker.io/v1/"), "r.example", "library/nginx") is None


@pytest.mark.parametrize(
    ("entry", "kind", "username", "token"),
    [
        ({"auth": encoded("bob:a:b")}, Kind.PASSWORD, "bob", "a:b"),
        ({"auth": encoded("bob:pw").rstrip("=")}, Kind.PASSWORD, "bob", "pw"),
        ({"auth": encoded("bob:pw\0\0")}, Kind.PASSWORD, "bob", "pw"),
        ({"auth": encoded("bob:pw") + "\n"}, Kind.PASSWORD, "bob", "pw"),
        ({"auth": encoded("bob:")}, Kind.PASSWORD, "bob", ""),
        ({"username": "bob", "password": "pw", "email": "x"}, Kind.PASSWORD, "bob", "pw"),
        ({"username": "eve", "password": "no", "auth": encoded("bob:pw")}, Kind.PASSWORD, "bob", "pw"),
        ({"username": "jürgen", "password": "käse"}, Kind.PASSWORD, "jürgen", "käse"),
        ({"auth": encoded("bob:pw"), "identitytoken": "idt"}, Kind.IDENTITY, "", "idt"),
        ({"username": "<token>", "password": "idt"}, Kind.IDENTITY, "", "idt"),
        ({"identitytoken": "idt", "registrytoken": "reg"}, Kind.BEARER, "", "reg"),
    ],
)
def test_what_an_entry_holds_is_read_as_docker_reads_it(
    entry: dict[str, object], kind: Kind, username: str, token: str
) -> None:
    found = only(entry)
    assert found is not None
    assert (found.kind, found.username, found.token, found.source) == (kind, username, token, SOURCE)


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"email": "x"}, {"username": "", "password": None}])
def test_an_entry_without_a_secret_is_none(entry: dict[str, object]) -> None:
    assert only(entry) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"auths": []}',
        b'{"auths": null}',
        b'{"auths": {"r.example": "x"}}',
        b'{"auths": {}, "auths": {}}',
        config({"r.example": {"auth": 1}}),
        config({"r.example": {"auth": "!!!"}}),
        config({"r.example": {"auth": encoded("no-colon-sesame")}}),
        config({"r.example": {"auth": base64.b64encode(b"\xff:\xff").decode()}}),
        config({"r.example": {"auth": encoded(":sesame")}}),
        config({"r.example": {"username": "a:b", "password": "sesame"}}),
        config({"r.example": {"username": "a", "password": "sesame\r\nX-Evil: 1"}}),
        config({"r.example": {"identitytoken": "sesame\r\n"}}),
        config({"r.example": {"registrytoken": "two sesame"}}),
        config({"r.example": {"username": "a", "password": "sesame" * SECRET_CHARACTERS}}),
        config({f"r{number}.example": {} for number in range(ENTRIES + 1)}),
        b" " * (CONFIG_BYTES + 1),
    ],
)
def test_what_is_no_docker_configuration_is_malformed_and_its_secrets_are_not_shown(data: bytes) -> None:
    with pytest.raises(MalformedError, match="registry-dockerconfig") as caught:
        DockerConfig.parse(data, SOURCE)
    assert "sesame" not in caught.value.message


def test_a_key_with_a_password_in_it_is_skipped_before_it_can_be_shown() -> None:
    data = config({"https://bob:sesame@r.example": {"auth": "!!!"}})
    assert DockerConfig.parse(data, SOURCE).logins == ()


def test_programs_that_a_configuration_names_are_not_its_logins() -> None:
    data = config({"r.example": {}}, credsStore="evil", credHelpers={"r.example": "evil"})
    assert DockerConfig.parse(data, SOURCE).find("r.example", "app") is None


def test_secrets_are_never_printed() -> None:
    shown = repr(DockerConfig.parse(config({"r.example": {"auth": encoded("bob:sesame")}}), SOURCE))
    assert "sesame" not in shown
    assert "bob" not in shown


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=8)
)
def test_any_json_is_read_or_malformed(value: object) -> None:
    try:
        found = DockerConfig.parse(json.dumps({"auths": value}).encode(), SOURCE)
    except MalformedError:
        return
    assert found.find("r.example", "app") is None or found.logins


@given(st.text(max_size=20), st.sampled_from(["r.example", "a.b.example:5000"]))
def test_any_key_matches_or_does_not(key: str, host: str) -> None:
    DockerConfig.parse(config({key: {"auth": encoded("bob:pw")}}), SOURCE).find(host, "team/app")


class Stored:
    def __init__(self, content: bytes | Exception) -> None:
        self.content, self.now, self.reads = content, 0.0, 0

    def read(self) -> bytes:
        self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def source(self, *, optional: bool) -> DockerConfigSource:
        return DockerConfigSource(self.read, SOURCE, lambda: self.now, optional=optional)


def shown(source: DockerConfigSource, *, fresh: bool = False) -> str | None:
    found = source.credential("r.example", "app", SOON, fresh=fresh)
    return None if found is None else found.token


def login(password: str) -> bytes:
    return config({"r.example": {"username": "bob", "password": password}})


def test_logins_are_read_again_after_a_minute_and_when_one_is_refused() -> None:
    stored = Stored(login("one"))
    source = stored.source(optional=False)
    source.check()
    stored.content = login("two")
    assert (shown(source), shown(source, fresh=True)) == ("one", "two")
    stored.content = login("three")
    assert shown(source, fresh=True) == "two"  # at most once a second
    stored.now += FRESH_SECONDS
    assert shown(source, fresh=True) == "three"
    stored.content = login("four")
    stored.now += REREAD_SECONDS
    assert shown(source) == "four"


def test_an_absent_configuration_is_nothing_unless_it_is_required() -> None:
    stored = Stored(ConfigError("there is no Secret"))
    optional = stored.source(optional=True)
    optional.check()
    assert shown(optional) is None
    with pytest.raises(ConfigError, match="no Secret"):
        stored.source(optional=False).check()


def test_a_malformed_configuration_stops_the_start_even_when_none_is_required() -> None:
    with pytest.raises(ConfigError, match="is not a docker configuration"):
        Stored(b"{").source(optional=True).check()


def test_a_configuration_that_becomes_malformed_is_not_silently_anonymous() -> None:
    stored = Stored(login("one"))
    source = stored.source(optional=True)
    source.check()
    stored.content = b"{"
    stored.now += REREAD_SECONDS
    with pytest.raises(UnavailableError, match="is not a docker configuration"):
        shown(source)
    stored.content = login("two")
    stored.now += FRESH_SECONDS
    assert shown(source) == "two"
