"""Every RootSync and RepoSync of a cluster, listed in pages, and which Config Sync syncs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.limits import MIB
from gate.core.quote import quote
from gate.core.strictjson import Object
from gate.kube.api import UNAVAILABLE, ApiAnswer, KubernetesApi, TooLargeError

KINDS = {"RootSync": "rootsyncs", "RepoSync": "reposyncs"}
PAGE_OBJECTS = 100  # at about 10 KiB each; fewer are asked for where they are larger
PAGE_BYTES = 8 * MIB  # one answer; one object alone has at most 3 MiB (api.py)
PAGE_SECONDS = 10.0  # one wait for the API server, which reads a page of objects from etcd
PAGES = 200  # of one kind: twenty thousand objects, several times what one cluster syncs

_SYNCS = "/apis/configsync.gke.io/v1beta1/{plural}"
_MANAGER = "/apis/apps/v1/namespaces/config-management-system/deployments/reconciler-manager"
_MANAGER_CONTAINER = "reconciler-manager"


def list_syncs(api: KubernetesApi, kind: str, deadline: Deadline) -> Iterator[Object]:
    """Yield every object of ``kind``, RootSync or RepoSync, in all namespaces; all of them, or an error.

    Raises ConfigError where there is no such kind, or gate may not list it, and UnavailableError where not everything
    could be read by the deadline.
    """
    size, token = PAGE_OBJECTS, ""
    for _ in range(PAGES):
        try:
            items, following = _page(api, kind, size, token, deadline)
        except (TooLargeError, MalformedError) as error:
            if size == 1:
                raise UnavailableError(UNAVAILABLE, f"a {kind} cannot be read: {error.message}") from error
            # Whoever may write a large object must not be able to hide the others: the same page again, in parts.
            size = max(size // 4, 1)
            continue
        yield from items
        if not following:
            return
        size, token = PAGE_OBJECTS, following
    raise UnavailableError(UNAVAILABLE, f"the list of every {kind} has more than {PAGES} pages")


def _page(api: KubernetesApi, kind: str, size: int, token: str, deadline: Deadline) -> tuple[tuple[Object, ...], str]:
    """Return the objects of one page, and the token of the next one, empty after the last."""
    plural = KINDS[kind]
    try:
        timeout = min(deadline.remaining(), PAGE_SECONDS)
    except UnavailableError as error:
        raise UnavailableError(error.reason, f"the Kubernetes API server did not list every {kind} in time") from error
    query = {"limit": str(size), **({"continue": token} if token else {})}
    answer = api.get(_SYNCS, {"plural": plural}, timeout, query, PAGE_BYTES)
    _check_listed(answer, kind)
    document = strictjson.loads_object(answer.body, limit=PAGE_BYTES)
    items = strictjson.expect_array(document.get("items"), "items")
    metadata = strictjson.expect_object(document.get("metadata"), "metadata")
    following = strictjson.expect_string(metadata.get("continue") or "", "metadata.continue")
    return tuple(strictjson.expect_object(item, f"a {kind}") for item in items), following


def _check_listed(answer: ApiAnswer, kind: str) -> None:
    plural = KINDS[kind]
    match answer.status:
        case 200:
            return
        case 404:
            raise ConfigError(f"the cluster knows no {kind} (configsync.gke.io/v1beta1): Config Sync is not installed")
        case 401 | 403:
            raise ConfigError(f"gate may not list {plural}: it needs the verb list on {plural}.configsync.gke.io")
        case 410:
            raise UnavailableError(UNAVAILABLE, f"the list of every {kind} grew old while it was read; try again")
        case status:
            raise UnavailableError(UNAVAILABLE, f"the Kubernetes API server answered {status} when asked for {plural}")


@dataclass(frozen=True, slots=True)
class ConfigSync:
    """The image that Config Sync's manager runs from, and where there is none to see, why."""

    image: str | None
    problem: str | None = None


def config_sync(api: KubernetesApi, deadline: Deadline) -> ConfigSync:
    """Return which Config Sync there is, as ``nomos version`` finds it: the image of the Deployment reconciler-manager.

    Nothing is raised: not to know it is an answer.
    """
    where = "the Deployment config-management-system/reconciler-manager"
    try:
        answer = api.get(_MANAGER, {}, min(deadline.remaining(), PAGE_SECONDS))
        match answer.status:
            case 200:
                return ConfigSync(_manager_image(answer.body))
            case 404:
                return ConfigSync(None, f"there is no {where.removeprefix('the ')}")
            case 401 | 403:
                return ConfigSync(None, f"gate may not read {where}")
            case status:
                return ConfigSync(None, f"the Kubernetes API server answered {status} when asked for {where}")
    except (UnavailableError, MalformedError) as error:
        return ConfigSync(None, f"{where} cannot be read: {error.message}")


def _manager_image(body: bytes) -> str:
    document = strictjson.loads_object(body, limit=PAGE_BYTES)
    place: strictjson.Json = document
    for name in ("spec", "template", "spec"):
        place = strictjson.expect_object(place, quote(name)).get(name)
    for each in strictjson.expect_array(strictjson.expect_object(place, "the pod").get("containers"), "containers"):
        container = strictjson.expect_object(each, "a container")
        if container.get("name") == _MANAGER_CONTAINER:
            return strictjson.expect_string(container.get("image"), "its image")
    raise MalformedError(f"it has no container {_MANAGER_CONTAINER}")
