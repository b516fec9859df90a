"""Every RootSync and RepoSync is listed, or it is said that not all of them could be."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.kube.api import KubernetesApi
from gate.kube.syncs import PAGE_BYTES, PAGE_OBJECTS, PAGES, config_sync, list_syncs
from tests.fakes.hostile import Hostile, Raw, Reply, Seen, as_json
from tests.fakes.kube import MANAGER, PATHS, manager, pages
from tests.fakes.reviews import Document, oci, sync

PATH = PATHS["RepoSync"]


def within(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def names(api: KubernetesApi) -> list[object]:
    return [each["metadata"]["name"] for each in list_syncs(api, "RepoSync", within(60))]  # type: ignore[index, call-overload]  # what is listed here is an object


def objects(number: int, padding: str = "") -> list[Document]:
    return [sync(oci(padding=padding), kind="RepoSync", name=f"sync-{index}") for index in range(number)]


def queries(server: Hostile) -> list[dict[str, list[str]]]:
    return [parse_qs(seen.target.partition("?")[2]) for seen in server.seen]


@pytest.mark.parametrize("number", [0, 1, PAGE_OBJECTS, PAGE_OBJECTS + 1, 10 * PAGE_OBJECTS])
def test_every_object_is_listed_once_whatever_the_number_of_pages(
    number: int, api: KubernetesApi, server: Hostile
) -> None:
    server.on(PATH, pages(objects(number)))
    assert names(api) == [f"sync-{index}" for index in range(number)]
    assert len(server.seen) == max(1, -(-number // PAGE_OBJECTS))
    assert {query["limit"][0] for query in queries(server)} == {str(PAGE_OBJECTS)}


def test_a_large_object_hides_no_other(api: KubernetesApi, server: Hostile) -> None:
    listed = objects(150)
    for index in range(40, 50):
        listed[index]["spec"]["padding"] = "x" * (PAGE_BYTES // 8)
    server.on(PATH, pages(listed))
    assert names(api) == [f"sync-{index}" for index in range(150)]
    assert queries(server)[-1]["limit"] == [str(PAGE_OBJECTS)]


def test_an_object_too_large_to_read_alone_is_said_to_be(api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, pages(objects(2, "x" * PAGE_BYTES)))
    with pytest.raises(UnavailableError, match=r"a RepoSync cannot be read: .* more than 8388608 bytes"):
        names(api)


@pytest.mark.parametrize(("status", "message"), [(404, "not installed"), (403, "verb list"), (401, "verb list")])
def test_a_list_that_may_not_be_had_is_the_operators_to_mend(
    status: int, message: str, api: KubernetesApi, server: Hostile
) -> None:
    server.on(PATH, Reply(status))
    with pytest.raises(ConfigError, match=message):
        names(api)


def after_one_page(answer: Reply | Raw) -> Callable[[Seen], Reply | Raw]:
    first = pages(objects(PAGE_OBJECTS + 1))
    return lambda seen: answer if "continue" in seen.target else first(seen)


@pytest.mark.parametrize(
    "answer",
    [
        *(Reply(410), Reply(500), Reply(429), Reply(200, b"{"), Reply(200, b"[]"), Raw()),
        *(as_json({"items": []}), as_json({"metadata": {}}), as_json({"metadata": {}, "items": [7]})),
        *(as_json({"metadata": {"continue": 7}, "items": []}), Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")),
    ],
)
def test_a_list_that_ends_in_its_middle_is_no_list(answer: Reply | Raw, api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, after_one_page(answer))
    with pytest.raises(UnavailableError):
        names(api)


def test_a_list_without_end_is_given_up(api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, as_json({"metadata": {"continue": "more"}, "items": []}))
    with pytest.raises(UnavailableError, match="more than 200 pages"):
        names(api)
    assert len(server.seen) == PAGES


def test_a_list_takes_no_longer_than_its_deadline(api: KubernetesApi, server: Hostile) -> None:
    server.on(PATH, after_one_page(Raw(then="stall")))
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        list(list_syncs(api, "RepoSync", within(0.3)))
    assert time.monotonic() - started < 2
    with pytest.raises(UnavailableError, match="did not list every RepoSync in time") as caught:
        list(list_syncs(api, "RepoSync", Deadline(0.0, time.monotonic)))
    assert caught.value.reason is Reason.DEADLINE


def test_config_syncs_image_is_that_of_its_manager(api: KubernetesApi, server: Hostile) -> None:
    server.on(MANAGER, manager("gcr.io/x/reconciler-manager:v1.21.0"))
    found = config_sync(api, within())
    assert (found.image, found.problem) == ("gcr.io/x/reconciler-manager:v1.21.0", None)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Reply(404), "there is no Deployment"),
        (Reply(403), "may not read"),
        (Reply(500), "answered 500"),
        (Raw(), "does not answer"),
        (as_json({"spec": {"template": {"spec": {"containers": [{"name": "other", "image": "x:v1.0.0"}]}}}}), "has no"),
        (as_json({"spec": {"template": {"spec": {"containers": [7]}}}}), "not an object"),
        (as_json({"spec": {}}), "not an object"),
        (as_json([]), "not an object"),
    ],
)
def test_a_config_sync_that_is_not_seen_is_unknown_and_why(
    answer: Reply | Raw, problem: str, api: KubernetesApi, server: Hostile
) -> None:
    server.on(MANAGER, answer)
    found = config_sync(api, within())
    assert found.image is None
    assert problem in str(found.problem)
