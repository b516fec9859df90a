"""Digests and image references: one spelling for each thing, and nothing that is only almost one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.core.oci import Digest, Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
ports = st.just("") | st.integers(0, 70000).map(lambda port: f":{port}")
hosts = st.builds(lambda parts, port: ".".join(parts) + port, st.lists(labels, min_size=1, max_size=4), ports)
components = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.just("") | st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
digests = st.just("") | st.just(f"@{DIGEST}")
well_formed = st.builds("{}/{}{}{}".format, hosts, paths, tags, digests)
odd = st.text(alphabet="aZ0./:@-_[]*%?#\\ \n\u0430localhst256", max_size=60)


@given(st.text(max_size=80) | odd)
def test_no_text_raises_anything_but_malformed_error(text: str) -> None:
    for parse in (Reference.parse, Digest.parse):
        try:
            parse(text)
        except MalformedError as error:
            assert len(error.message.splitlines()) == 1


@given(well_formed | odd)
def test_the_canonical_form_of_a_reference_is_read_as_the_same_reference(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except MalformedError:
        return
    assert Reference.parse(str(reference)) == reference
    assert reference.registry == reference.registry.lower()


@given(hosts.filter(lambda host: "." in host and ":" not in host), paths, tags, digests)
def test_a_canonical_reference_is_written_as_it_was(host: str, path: str, tag: str, digest: str) -> None:
    text = f"{host.lower()}/{path}{tag}{digest}"
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("reg.io/ns/repo", "reg.io/ns/repo"),
        ("REG.io/ns/repo:T", "reg.io/ns/repo:T"),
        ("reg.io:443/ns/repo", "reg.io/ns/repo"),
        ("reg.io:0443/ns/repo", "reg.io/ns/repo"),
        ("reg.io:5000/ns/repo", "reg.io:5000/ns/repo"),
        ("reg.io:05000/ns/repo", "reg.io:5000/ns/repo"),
        ("reg:5000/repo", "reg:5000/repo"),
        ("reg.io:1/repo", "reg.io:1/repo"),
        ("reg.io:65535/repo", "reg.io:65535/repo"),
        ("localhost/repo", "localhost/repo"),
        ("localhost/a/b", "localhost/a/b"),
        ("localhost:443/repo", "localhost/repo"),
        ("127.0.0.1:5000/repo", "127.0.0.1:5000/repo"),
        ("[::1]:5000/repo", "[::1]:5000/repo"),
        ("[::1]/repo", "[::1]/repo"),
        ("[FD00::1]:443/repo", "[fd00::1]/repo"),
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("acme/app", "docker.io/acme/app"),
        ("acme/a.b/c", "docker.io/acme/a.b/c"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("docker.io/library/nginx", "docker.io/library/nginx"),
        ("index.docker.io/acme/app", "docker.io/acme/app"),
        ("registry-1.docker.io/nginx", "docker.io/library/nginx"),
        ("Index.Docker.IO:443/nginx", "docker.io/library/nginx"),
        ("reg.io/repo:tag@" + DIGEST, "reg.io/repo:tag@" + DIGEST),
        ("reg.io/a__b/c-d/e---f/g.h/i_j:_x", "reg.io/a__b/c-d/e---f/g.h/i_j:_x"),
    ],
)
def test_every_spelling_of_a_reference_has_one_canonical_form(text: str, canonical: str) -> None:
    assert str(Reference.parse(text)) == canonical


def test_a_name_without_a_dot_at_the_default_port_is_not_read_as_docker_hub_again() -> None:
    # Without its port, "registry/app" would be docker.io/registry/app.
    reference = Reference.parse("registry:443/app")
    assert Reference.parse(str(reference)) == reference
    assert reference.registry.startswith("registry")


# The first lines are references that a permissive parser is known to read as another image or another URL.
NOT_REFERENCES = [
    "reg.io/ns//repo:t",
    "reg.io/ns/repo:a:b",
    "user:pw@reg.io/ns/repo",
    "user@reg.io/ns/repo",
    "reg.io/ns/repo@../../../other/repo/manifests/latest",
    "reg.io/ns/../../x:t",
    "reg.io/./x",
    "reg.io/repo:tag?x=1",
    "reg.io/repo?x=1",
    "reg.io/repo#f",
    "reg.io/repo:tag#f",
    "reg.io/repo@sha256:xyz",
    "reg.io/repo@md5:d41d8cd98f00b204e9800998ecf8427e",
    "reg.io/repo@sha512:" + HEX * 2,
    "reg.io/repo@sha512:" + HEX,
    "reg.io/repo@sha256:" + HEX.upper(),
    "reg.io/repo@sha256:" + HEX[:-1],
    "reg.io/repo@sha256:" + HEX + "0",
    "reg.io/repo@" + DIGEST + "@" + DIGEST,
    "reg.io/repo@" + DIGEST + ":tag",
    "reg.io/repo@" + DIGEST + "\n",
    "https://reg.io/repo",
    "oci://reg.io/repo",
    "//reg.io/repo",
    "",
    "/",
    "/repo",
    "reg.io/",
    "reg.io/repo/",
    "reg.io/repo:",
    "reg.io/repo@",
    ":tag",
    "@" + DIGEST,
    " reg.io/repo",
    "reg.io/repo ",
    "reg.io/repo\n",
    "reg.io/re po",
    "reg.io\t/repo",
    "reg.io/Repo",
    "Acme/app",
    "reg.io/_repo",
    "reg.io/repo-",
    "reg.io/a..b",
    "reg.io/a___b",
    "reg.io/a/b\\c",
    "reg.io/%2e%2e/repo",
    "reg.io/rep\u043e",  # a Cyrillic letter
    "r\u0435g.io/repo",
    "reg.io/repo:\u0661",  # an Arabic digit
    "reg.io:\u0665\u0660/repo",
    "reg.io/repo:.tag",
    "reg.io/repo:-tag",
    "reg.io/repo:" + "t" * 129,
    "reg.io:0/repo",
    "reg.io:65536/repo",
    "reg.io:99999/repo",
    "reg.io:100000/repo",
    "reg.io:000443/repo",
    "reg.io:-1/repo",
    "reg.io:/repo",
    "reg.io:443:443/repo",
    "reg..io/repo",
    ".reg.io/repo",
    "reg.io./repo",
    "-reg.io/repo",
    "reg-.io/repo",
    "reg_.io/repo",
    "[::1/repo",
    "::1/repo",
    "[]/repo",
    "[::1%25eth0]/repo",
    "*.reg.io/repo",
    "reg.io/*",
]


@pytest.mark.parametrize("text", NOT_REFERENCES)
def test_what_is_almost_a_reference_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Reference.parse(text)


def test_a_refusal_quotes_the_text_and_escapes_it() -> None:
    with pytest.raises(MalformedError) as caught:
        Reference.parse("reg.io/a\n\u202eb")
    assert caught.value.message == '"reg.io/a\\n\\u202eb" is not an image reference'


def test_a_tag_of_128_characters_is_the_longest() -> None:
    assert Reference.parse("reg.io/repo:" + "t" * 128).tag == "t" * 128


def test_a_repository_of_255_characters_is_the_longest() -> None:
    assert Reference.parse("reg.io/" + "r" * 255).repository == "r" * 255
    with pytest.raises(MalformedError, match=r"the repository in .* is longer than 255 characters"):
        Reference.parse("reg.io/" + "r" * 256)


def test_the_prefix_of_docker_hub_counts_in_the_length_of_a_repository() -> None:
    Reference.parse("r" * (255 - len("library/")))
    with pytest.raises(MalformedError, match="is longer than 255 characters"):
        Reference.parse("r" * (256 - len("library/")))


def test_a_registry_of_255_characters_is_the_longest() -> None:
    host = "a." * 126 + "abc"
    assert Reference.parse(f"{host}/repo").registry == host
    with pytest.raises(MalformedError, match=r"the registry in .* is longer than 255 characters"):
        Reference.parse(f"{host}d/repo")


def test_a_text_of_more_than_1024_characters_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(MalformedError, match=r"the repository in .* is longer than 255 characters"):
        Reference.parse("reg.io/" + "a/" * 508 + "a")
    with pytest.raises(MalformedError, match=r"the image reference .* is longer than 1024 characters"):
        Reference.parse("reg.io/" + "a/" * 508 + "aa")
    with pytest.raises(MalformedError) as caught:
        Reference.parse("a" * 10**6)
    assert len(caught.value.message) < 300


def test_a_repository_is_named_without_tag_and_digest() -> None:
    assert Reference.parse_repository("REG.io:443/a/b") == Reference("reg.io", "a/b")
    for image in ("reg.io/a:t", f"reg.io/a@{DIGEST}", f"reg.io/a:t@{DIGEST}"):
        with pytest.raises(MalformedError) as caught:
            Reference.parse_repository(image)
        assert caught.value.message == f'found "{image}", expected a repository without tag and digest'


def test_the_name_that_policies_match_has_neither_tag_nor_digest() -> None:
    assert Reference.parse(f"REG.io:443/a/b:t@{DIGEST}").name == "reg.io/a/b"


def test_a_reference_at_a_digest_has_lost_its_tag() -> None:
    other = Digest.of(b"")
    assert str(Reference.parse(f"reg.io/a:t@{DIGEST}").at(other)) == f"reg.io/a@{other}"


def test_a_digest_is_of_the_very_bytes() -> None:
    assert str(Digest.of(b"abc")) == "sha256:" + hashlib.sha256(b"abc").hexdigest()
    assert Digest.of(b"abc") == Digest.parse("sha256:" + hashlib.sha256(b"abc").hexdigest())


def test_a_digest_as_a_tag_is_where_cosign_puts_signatures() -> None:
    assert Digest.parse(DIGEST).tag == f"sha256-{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}{HEX}",
        f"sha512:{HEX}",
        f"sha256-{HEX}",
        f"sha256:{HEX}\n",
        f" sha256:{HEX}",
        f"sha256:{HEX[:-1]}g",
        "sha256:" + "\u0661" * 64,
    ],
)
def test_only_sha256_with_64_lower_case_digits_is_a_digest(text: str) -> None:
    with pytest.raises(MalformedError, match="is not a digest of the form sha256:<64 hex digits>"):
        Digest.parse(text)
