"""One key of one Secret."""

from __future__ import annotations

import base64
import binascii

from gate.core import strictjson
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.kube.api import ANSWER_BYTES, KubernetesApi

_PATH = "/api/v1/namespaces/{namespace}/secrets/{name}"


def read_secret_key(api: KubernetesApi, namespace: str, name: str, key: str, timeout: float) -> bytes:
    """Return the bytes of ``key`` in the Secret; ``timeout`` is in seconds.

    Raises ConfigError when the Secret or the key is not there or gate may not read it, UnavailableError when the API
    server does not answer. No message holds anything of the Secret but its name.
    """
    secret = f"the Secret {quote(f'{namespace}/{name}')}"
    answer = api.get(_PATH, {"namespace": namespace, "name": name}, timeout)
    match answer.status:
        case 200:
            return _value(answer.body, key, secret)
        case 404:
            raise ConfigError(f"there is no {secret.removeprefix('the ')}")
        case 401 | 403:
            raise ConfigError(f"gate's ServiceAccount may not read {secret}")
        case status:
            message = f"the Kubernetes API server answered {status} when asked for {secret}"
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)


def _value(body: bytes, key: str, secret: str) -> bytes:
    try:
        document = strictjson.loads_object(body, limit=ANSWER_BYTES)
        encoded = strictjson.expect_object(document.get("data") or {}, "data").get(key)
    except MalformedError as error:
        message = f"the Kubernetes API server's answer for {secret} cannot be read"
        raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message) from error
    if not isinstance(encoded, str):
        raise ConfigError(f"{secret} has no key {quote(key)}")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"the key {quote(key)} of {secret} is not base64") from error
