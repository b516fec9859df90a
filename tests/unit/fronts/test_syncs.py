"""RootSync and RepoSync: which source, which claims, whose reconciler, and what counts as a poll."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.core.oci import Digest
from gate.core.strictjson import Json, Object
from gate.fronts.admission import Review, parse_review
from gate.fronts.syncs import (
    Difference,
    Git,
    HelmHttp,
    HelmOci,
    Oci,
    Source,
    parse_claims,
    parse_source,
    reconciler_username,
)
from tests.fakes.reviews import (
    IMAGE_TO_SYNC,
    RECONCILERS,
    SOURCE_COMMIT,
    SOURCE_URL,
    A,
    Document,
    claim,
    encode,
    git,
    helm,
    oci,
    pair,
    review,
    sync,
)

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


# Versions that Helm or Config Sync take for a range, for the newest one, or for whatever else is there at the moment.
INEXACT = (
    *("", "latest", "*", "x", "X", "1", "1.2", "1.x", "1.2.x", "v1.2.3", "=1.2.3", "^1.2.3", "~1.2.3", "~>1.2.3"),
    *(">=1.2.3", "<1.2.3", "!=1.2.3", "1.2.3 - 1.4.0", "1.2.3, 1.2.4", "1.2.3 || 1.2.4", "1.2.3|1.2.4", " 1.2.3"),
    *("1.2.3\n", "01.2.3", "1.2.03", "1.2.3-01", "1.2.3-", "1.2.3+", "1.2.3+a+b", "1.2.3-a..b", "1.2.3_b", "1.2.3.4"),
    "\u0661.2.3",
)


def difference(new: Document, old: Document, username: str = "jane@example.com") -> Difference:
    found = Difference.of(parse_review(encode(review(new, old, username=username))))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (git(), Git),
        ({"git": git()["git"]}, Git),
        ({**git(), "oci": oci()["oci"]}, Git),
        (helm("https://charts.example.com"), HelmHttp),
        (helm("oci://registry.example.com/charts"), HelmOci),
        (helm("OCI://registry.example.com/charts"), HelmOci),
        (helm(" oci://registry.example.com/charts"), HelmOci),
        (oci("registry.example.com/a:v1"), Oci),
    ],
)
def test_the_source_is_the_block_that_the_source_type_selects(spec: Document, kind: type[Source]) -> None:
    assert isinstance(parse_source(sync(spec)), kind)


def test_an_oci_source_keeps_the_image_as_written_and_its_canonical_reference() -> None:
    source = parse_source(sync(oci(f"nginx@{A}")))
    assert isinstance(source, Oci)
    assert source.image == f"nginx@{A}"
    assert str(source.reference) == f"docker.io/library/nginx@{A}"


@pytest.mark.parametrize(
    ("claimed", "digest"),
    [
        (f"nginx:1@{A}", Digest("a" * 64)),
        (f"docker.io/library/nginx:1@{A}", None),
        (f"nginx@{A}", None),
        (A, None),
        ("nginx:1", None),
        ("nginx:1@", None),
        (f"nginx:1@{A}@{A}", None),
        (f" nginx:1@{A}", None),
        (f"nginx:1@{A} ", None),
        (f"nginx:1@{A[:-1]}", None),
        (f"nginx:1@sha512:{'a' * 128}", None),
    ],
)
def test_a_claim_is_compared_letter_by_letter(claimed: str, digest: Digest | None) -> None:
    source = parse_source(sync(oci("nginx:1")))
    assert isinstance(source, Oci)
    assert source.claimed(claimed) == digest


@pytest.mark.parametrize(
    ("repo", "chart", "version", "reference"),
    [
        ("oci://registry.example.com/charts", "app", "1.2.3", "registry.example.com/charts/app:1.2.3"),
        ("oci://registry.example.com", "app", "1.2.3-rc.1+b.7-x", "registry.example.com/app:1.2.3-rc.1_b.7-x"),
        ("oci://registry.example.com", "app", "0.0.0", "registry.example.com/app:0.0.0"),
        ("oci://registry.example.com/charts", "team/app", "10.20.30", "registry.example.com/charts/team/app:10.20.30"),
        ("oci://localhost:5000/charts", "app", "1.2.3", "localhost:5000/charts/app:1.2.3"),
        ("oci://registry-1.docker.io/team", "app", "1.2.3", "docker.io/team/app:1.2.3"),
    ],
)
def test_a_chart_is_where_helm_fetches_it(repo: str, chart: str, version: str, reference: str) -> None:
    source = parse_source(sync(helm(repo, version, chart)))
    assert isinstance(source, HelmOci)
    assert str(source.reference()) == reference
    assert source.claim == f"{repo}@sha256:{version}"


CHARTS = "oci://registry.example.com/charts"


@pytest.mark.parametrize(
    ("repo", "chart", "version"),
    [
        *((CHARTS, "app", version) for version in INEXACT),
        (CHARTS, "app", "1.2.3-" + "a" * 128),
        (CHARTS, "", "1.2.3"),
        (CHARTS, "app:1.0.0", "1.2.3"),
        (CHARTS, f"app@{A}", "1.2.3"),
        (CHARTS, "../app", "1.2.3"),
        (CHARTS, "App", "1.2.3"),
        (CHARTS, "app?x=y", "1.2.3"),
        (CHARTS + "/", "app", "1.2.3"),
        ("OCI://registry.example.com/charts", "app", "1.2.3"),
        (" oci://registry.example.com/charts", "app", "1.2.3"),
        ("oci:registry.example.com/charts", "app", "1.2.3"),
        ("oci:///charts", "app", "1.2.3"),
        ("oci://user@registry.example.com/charts", "app", "1.2.3"),
        ("oci://internal/charts", "app", "1.2.3"),
        ("oci://docker.io", "app", "1.2.3"),
    ],
)
def test_a_chart_that_is_not_the_same_image_to_helm_whenever_it_looks_is_not_looked_up(
    repo: str, chart: str, version: str
) -> None:
    source = parse_source(sync(helm(repo, version, chart)))
    assert isinstance(source, HelmOci)
    with pytest.raises(MalformedError):
        source.reference()


@pytest.mark.parametrize("field", ["chart", "version"])
@pytest.mark.parametrize("value", [None, 1, 1.2, ["1.2.3"], {}])
def test_what_names_a_chart_and_is_no_text_names_none(field: str, value: object) -> None:
    spec = helm(CHARTS)
    spec["helm"][field] = value
    source = parse_source(sync(spec))
    assert isinstance(source, HelmOci)
    with pytest.raises(MalformedError):
        source.reference()


@pytest.mark.parametrize(
    ("annotations", "claims"),
    [
        (None, ()),
        ({}, ()),
        ({"other": "x"}, ()),
        ({IMAGE_TO_SYNC: ""}, ()),
        ({SOURCE_URL: "", SOURCE_COMMIT: ""}, ()),
        (claim("x"), ("x",)),
        (pair("u", "c"), ("u@sha256:c",)),
        (claim("x") | pair("u", "c"), ("x", "u@sha256:c")),
    ],
)
def test_every_annotation_that_is_not_empty_is_a_claim(annotations: Document | None, claims: tuple[str, ...]) -> None:
    assert parse_claims(sync(git(), annotations)) == claims


@pytest.mark.parametrize(
    "annotations",
    [
        {SOURCE_URL: "u"},
        {SOURCE_COMMIT: "c"},
        {SOURCE_URL: "u", SOURCE_COMMIT: ""},
        {IMAGE_TO_SYNC: None},
        {IMAGE_TO_SYNC: 1},
        {IMAGE_TO_SYNC: ["x"]},
        {SOURCE_URL: {}, SOURCE_COMMIT: {}},
        ["x"],
        "x",
        0,
    ],
)
def test_a_claim_that_cannot_be_read_is_malformed_and_never_absent(annotations: Document) -> None:
    with pytest.raises(MalformedError):
        parse_claims(sync(git(), annotations))


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "account"),
    [
        ("RootSync", "config-management-system", "root-sync", "root-reconciler"),
        ("RootSync", "config-management-system", "edge", "root-reconciler-edge"),
        ("RootSync", "config-management-system", "repo-sync", "root-reconciler-repo-sync"),
        ("RepoSync", "team-a", "repo-sync", "ns-reconciler-team-a"),
        ("RepoSync", "team-a", "edge", "ns-reconciler-team-a-edge-4"),
        ("RepoSync", "team-a", "root-sync", "ns-reconciler-team-a-root-sync-9"),
    ],
)
def test_a_reconciler_has_the_name_that_config_sync_gives_it(
    kind: str, namespace: str, name: str, account: str
) -> None:
    expected = f"system:serviceaccount:config-management-system:{account}"
    assert reconciler_username(kind, namespace, name) == expected


def held(spec: Document, annotations: Document | None = None, *, kind: str = "RootSync", **more: object) -> Document:
    document = sync(spec, annotations, kind=kind)
    document["metadata"] |= {"labels": {"team": "a"}, **more}
    return document


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (oci("r.example.com/a:v2"), oci("r.example.com/a:v1")),
        (oci(dir="b"), oci(dir="a")),
        (oci(dir="b"), oci()),
        (oci(auth="gcenode"), oci()),
        (git(), oci()),
        ({**oci(), "sourceType": "git"}, oci()),
        ({**oci(), "sourceType": None}, {"oci": oci()["oci"]}),
        ({"sourceType": "oci"}, oci()),
        (oci(odd=1), oci(odd=True)),
        (oci(odd=1), oci(odd=1.0)),
        (["git", None], {}),
        (helm("https://a.example.com"), helm("https://b.example.com")),
    ],
)
def test_any_field_of_the_active_block_makes_another_source(new: Document, old: Document) -> None:
    assert difference(sync(new), sync(old)).source
    assert difference(sync(old), sync(new)).source


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (oci(period="15s"), oci()),
        (oci(period="15s"), oci(period="0s")),
        ({**oci(), "git": git()["git"]}, oci()),
        ({**oci(), "override": {"statusMode": "disabled"}}, oci()),
        ({"git": git()["git"]}, git()),
    ],
)
def test_the_period_and_other_blocks_do_not_make_another_source(new: Document, old: Document) -> None:
    assert not difference(sync(new), sync(old)).source


def test_the_order_of_fields_does_not_make_another_source() -> None:
    block = oci(dir="a")["oci"]
    reordered = {"sourceType": "oci", "oci": dict(reversed(block.items()))}
    assert not difference(sync(reordered), sync(oci(dir="a"))).source


@pytest.mark.parametrize(
    ("new", "old", "changed"),
    [
        (None, {}, False),
        (claim(""), None, False),
        (claim("x"), claim("x") | {"other": "y"}, False),
        (claim("x"), None, True),
        (claim("x"), claim("y"), True),
        (None, claim("x"), True),
        (claim("x"), claim("x") | pair("u", "c"), True),
        ({IMAGE_TO_SYNC: None}, None, True),
        ({SOURCE_URL: "u"}, {SOURCE_COMMIT: "u"}, True),
        (["x"], None, True),
    ],
)
def test_claims_change_with_any_of_the_three_annotations(
    new: Document | None,
    old: Document | None,
    changed: bool,
) -> None:
    assert difference(sync(oci(), new), sync(oci(), old)).claims is changed


@pytest.mark.parametrize("field", ["managedFields", "resourceVersion", "generation"])
@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_a_reconcilers_patch_that_changes_only_bookkeeping_is_a_poll(kind: str, field: str) -> None:
    old = held(oci(), claim("x"), kind=kind)
    new = copy.deepcopy(old)
    new["metadata"][field] = "new"
    assert difference(new, old, RECONCILERS[kind]).poll
    del new["metadata"][field]
    assert difference(new, old, RECONCILERS[kind]).poll


@pytest.mark.parametrize("sender", ["jane@example.com", RECONCILERS["RepoSync"], RECONCILERS["RootSync"] + "-edge"])
def test_a_patch_of_somebody_else_is_no_poll(sender: str) -> None:
    assert not difference(held(oci()), held(oci()), sender).poll


@pytest.mark.parametrize(
    "new",
    [
        held(oci(), finalizers=["x"]),
        held(oci(), deletionTimestamp="2026-01-01T00:00:00Z"),
        sync(oci(), labels={"team": "b"}),
        held(oci(period="0s")),
        held(oci(), claim("x")),
        {**held(oci()), "status": {}},
    ],
)
def test_a_reconcilers_update_that_changes_anything_else_is_no_poll(new: Document) -> None:
    assert not difference(new, held(oci()), RECONCILERS["RootSync"]).poll


@given(JSON, JSON, JSON, JSON)
def test_what_cannot_be_read_can_still_be_compared(spec: Json, metadata: Json, annotations: Json, block: Json) -> None:
    documents: tuple[Object, ...] = (
        {"spec": spec, "metadata": metadata},
        {"spec": {"sourceType": spec, "oci": block}, "metadata": {"annotations": annotations}},
        {"spec": {"sourceType": "oci", "oci": block}, "metadata": {"annotations": {IMAGE_TO_SYNC: annotations}}},
    )
    for document in documents:
        asked = parse_review(encode(review(sync(git()), sync(git()))))
        same = Difference.of(_replace(asked, document, document))
        assert same is not None
        assert (same.source, same.claims) == (False, False)
        Difference.of(_replace(asked, document, sync(git())))


def _replace(asked: Review, new: Object, old: Object) -> Review:
    return replace(asked, object=new, old_object=old)


@given(JSON, JSON)
def test_any_document_is_a_source_and_claims_or_malformed(one: Json, two: Json) -> None:
    documents: tuple[Object, ...] = (
        {"spec": one, "metadata": two},
        {"spec": {"sourceType": one, "oci": two}, "metadata": {"annotations": one}},
        {"spec": {"sourceType": "oci", "oci": {"image": one}}, "metadata": {"annotations": {SOURCE_URL: two}}},
        {"spec": {"sourceType": "helm", "helm": {"repo": one}}, "metadata": {"annotations": {IMAGE_TO_SYNC: two}}},
    )
    for document in documents:
        for parse in (parse_source, parse_claims):
            try:
                parse(document)
            except MalformedError as error:
                assert "\n" not in error.message
