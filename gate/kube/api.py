"""The API server, asked with raw paths and bounded answers (no models: they cost 26 MiB).

Importing this module is cheap; ``kubernetes`` itself is imported when a client is made, so that a gate which reads only
mounted files does not pay for it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml

from gate.core.errors import ConfigError, UnavailableError
from gate.core.limits import MIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.strictjson import Object

CONNECT_SECONDS = 2.0  # one TCP connection, to a server in the same network
ANSWER_BYTES = 3 * MIB  # the API server's own limit for an object; etcd's is 1.5 MiB
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # where every pod finds its identity
_NAMESPACE_BYTES = 63  # RFC 1123 label, as namespaces are
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)  # RFC 1123 subdomain, as object names are
_BEARER = ["BearerToken"]

# Of the API server, whatever it is asked for: a review asks it for credentials alone, and that is what it lacks then.
UNAVAILABLE = Reason.REGISTRY_UNAUTHORIZED


class TooLargeError(UnavailableError):
    """The answer is complete and larger than what was asked for may be: a smaller part of it can still be read."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """Status and body (at most 3 MiB) of one request."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, and how many bytes its answer may have."""

    method: str
    path: str
    names: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = None
    media_type: str = "application/json"
    limit: int = ANSWER_BYTES

    @property
    def headers(self) -> dict[str, str]:
        accepted = {"Accept": "application/json"}
        return accepted if self.body is None else accepted | {"Content-Type": self.media_type}


class KubernetesApi:
    """The API server as one identity sees it; thread safe."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 (kubernetes is not imported just to name its type)
        """Ask through ``client``, a kubernetes.client.ApiClient; see in_cluster() and from_kubeconfig()."""
        self._client = client

    @property
    def server(self) -> str:
        """Where it is asked: a URL."""
        return str(self._client.configuration.host)

    def get(
        self,
        path: str,
        names: Mapping[str, str],
        timeout: float,
        query: Mapping[str, str] | None = None,
        limit: int = ANSWER_BYTES,
    ) -> ApiAnswer:
        """Return the answer to GET ``path``, whose ``{placeholders}`` are filled from ``names``.

        ``timeout`` is in seconds, for one wait. Raises UnavailableError when the API server does not answer, and
        TooLargeError when it answers with more than ``limit`` bytes.
        """
        return self._ask(_Request("GET", path, names, query=query or {}, limit=limit), timeout)

    def create(self, path: str, names: Mapping[str, str], body: Object, timeout: float) -> ApiAnswer:
        """Return the answer to POST ``path`` with ``body``; otherwise as get()."""
        return self._ask(_Request("POST", path, names, body=body), timeout)

    def merge(self, path: str, names: Mapping[str, str], body: Object, timeout: float) -> ApiAnswer:
        """Return the answer to PATCH ``path`` with ``body``, a merge patch (RFC 7396); otherwise as get()."""
        return self._ask(_Request("PATCH", path, names, body=body, media_type="application/merge-patch+json"), timeout)

    def _ask(self, request: _Request, timeout: float) -> ApiAnswer:
        for name in request.names.values():
            check_name(name)
        # OSError and ValueError: the mounted token is read anew every minute, and may not be readable.
        failures: tuple[type[Exception], ...] = (
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            *_kubernetes_errors(),
        )
        try:
            serialized = self._client.param_serialize(
                request.method,
                request.path,
                path_params=dict(request.names),
                query_params=dict(request.query),
                header_params=request.headers,
                body=request.body,
                auth_settings=_BEARER,
            )
            answer = self._client.call_api(*serialized, _request_timeout=(CONNECT_SECONDS, timeout))
            try:
                body = answer.response.read(request.limit + 1, decode_content=False)
            finally:
                answer.response.close()
        except failures as error:
            raise UnavailableError(UNAVAILABLE, "the Kubernetes API server does not answer gate") from error
        if len(body) > request.limit:
            what = f"the Kubernetes API server answered with more than {request.limit} bytes"
            raise TooLargeError(UNAVAILABLE, what)
        return ApiAnswer(answer.status, body)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def in_cluster(environ: Mapping[str, str], mount: Path = SERVICE_ACCOUNT) -> KubernetesApi:
    """Return the API server that ``environ`` names, with the identity in ``mount``; ConfigError outside a pod."""
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 (45 MiB that a mounted file does not need)
    from kubernetes.config import ConfigException  # noqa: PLC0415 (the same)
    from kubernetes.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415 (the same)

    configuration = Configuration(proxy="", no_proxy="*")  # else the environment's proxies would see the token
    # No retries and, with them, no redirects: urllib3 would follow three to anywhere.
    configuration.retries = False
    try:
        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]  # kubernetes types its models, not this
            str(mount / "token"), str(mount / "ca.crt"), environ=environ
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # the same
    except (ConfigException, OSError) as error:
        raise ConfigError(
            "gate does not run in a pod with a ServiceAccount, so it cannot ask the API server"
        ) from error
    return KubernetesApi(ApiClient(configuration))


def from_kubeconfig(file: str, context: str | None) -> KubernetesApi:
    """Return the API server of a ``context`` (None: the current one) of the kubeconfig ``file``; ConfigError for none.

    ``file`` may be several, as in KUBECONFIG. A plugin that the kubeconfig names is run, as kubectl does, and a proxy
    that it names is used; those of the environment are not.
    """
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 (see in_cluster)
    from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415 (see in_cluster)

    configuration = Configuration(proxy="", no_proxy="")
    configuration.retries = False  # see in_cluster
    what = f"the kubeconfig {quote(file)}" + ("" if context is None else f" with the context {quote(context)}")
    try:
        with _complaints() as complaints:
            load_kube_config(  # type: ignore[no-untyped-call]  # kubernetes types its models, not this
                file, context, configuration, persist_config=False
            )
        client = ApiClient(configuration)  # which reads the certificates and the name of a proxy
    # The last three: kubernetes uses what it finds, and looks at no shape first.
    except (
        *(ConfigException, OSError, ValueError, yaml.YAMLError, urllib3.exceptions.HTTPError),
        *(AttributeError, KeyError, TypeError),
    ) as error:
        raise ConfigError(f"{what} names no API server that gate can ask; kubectl config view shows it") from error
    if complaints:
        raise ConfigError(f"{what} has a plugin that gives no credentials; kubectl get namespaces shows why")
    return KubernetesApi(client)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _complaints() -> Iterator[list[logging.LogRecord]]:
    """Yield what is logged as an error meanwhile.

    Of a plugin that fails or is none kubernetes says no more, and goes on to ask as nobody.
    """
    collector, root = _Collector(), logging.getLogger()
    root.addHandler(collector)
    try:
        yield collector.records
    finally:
        root.removeHandler(collector)


def own_namespace(mount: Path = SERVICE_ACCOUNT) -> str:
    """Return the namespace that gate runs in, as mounted with its ServiceAccount; ConfigError outside a pod."""
    try:
        with (mount / "namespace").open("rb") as file:
            name = file.read(_NAMESPACE_BYTES + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("gate does not run in a pod with a ServiceAccount, so it has no namespace") from error
    if len(name) > _NAMESPACE_BYTES:
        raise ConfigError(f"{quote(name)} is not the name of a namespace")
    return check_name(name)


def check_name(name: str) -> str:
    """Return ``name`` if it can name an object, else raise ConfigError: a path segment like ``..`` names another."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{quote(name)} is not the name of a Kubernetes object")
    return name


def _kubernetes_errors() -> tuple[type[Exception], ...]:
    from kubernetes.client.exceptions import OpenApiException  # noqa: PLC0415 (see in_cluster)
    from kubernetes.config import ConfigException  # noqa: PLC0415 (see in_cluster)

    return OpenApiException, ConfigException
