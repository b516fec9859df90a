"""A small client of the API server: JSON in, status code and JSON out, as one named user."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
BAD_REQUEST = 400  # from here on an answer is a refusal; RFC 9110, section 15
TIMEOUT = 30  # seconds; above every timeout that the server itself keeps


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said. ``body`` is an object, a list of objects or a Status."""

    status: int
    body: Object

    @property
    def ok(self) -> bool:
        """Return whether the request was carried out."""
        return self.status < BAD_REQUEST

    @property
    def message(self) -> str:
        """Return the message of a Status, which is what client-go shows; empty for an object."""
        return str(self.body.get("message", "")) if not self.ok else ""


class Api:
    """The API server as one user: a client certificate or a bearer token."""

    def __init__(self, url: str, authority: Path, *, cert: tuple[Path, Path] | None = None, token: str = "") -> None:
        """Keep one session that takes nothing from the environment."""
        self.url = url
        self.authority = authority
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority)
        if cert is not None:
            self._session.cert = (str(cert[0]), str(cert[1]))
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def text(self, path: str) -> str:
        """Return the body of a page that is not JSON, empty when the server does not answer with 200."""
        try:
            response = self._session.get(self.url + path, timeout=TIMEOUT)
        except requests.ConnectionError:
            return ""
        return response.text if response.status_code == requests.codes.ok else ""

    def send(self, method: str, path: str, body: object = None, media_type: str = "application/json") -> Answer:
        """Send one request and return the answer, whatever it is."""
        response = self._session.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": media_type, "Accept": "application/json"},
            timeout=TIMEOUT,
        )
        if not response.headers.get("Content-Type", "").startswith("application/json"):
            return Answer(response.status_code, {"message": response.text})  # a path that is not served yet
        return Answer(response.status_code, response.json())

    def get(self, path: str) -> Answer:
        """Read an object or a list."""
        return self.send("GET", path)

    def create(self, path: str, body: object) -> Answer:
        """Create ``body`` in the list at ``path``."""
        return self.send("POST", path, body)

    def replace(self, path: str, body: object) -> Answer:
        """Put ``body`` in the place of the object at ``path``."""
        return self.send("PUT", path, body)

    def merge(self, path: str, body: object) -> Answer:
        """Merge ``body`` into the object at ``path``."""
        return self.send("PATCH", path, body, MERGE_PATCH)

    def delete(self, path: str) -> Answer:
        """Delete the object at ``path``."""
        return self.send("DELETE", path)


def must(answer: Answer) -> Object:
    """Return the body of an answer that carried the request out; anything else is a failure of the test."""
    assert answer.ok, f"{answer.status}: {answer.message}"
    return answer.body
