"""What is measured: a registry with signed images, the webhook in front of it, and an API server's reviews."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import Target, Work
from bench.server import BARE_PATH, FLASK_PATH
from gate import compose
from gate.core import limits, strictjson
from gate.core.oci import Digest
from gate.demo import certificate, layouts, registry, webhook
from gate.demo.review import reconciler_review
from gate.demo.signer import Signer
from gate.demo.store import Store

REPOSITORY, TAG = "platform/config", "v1"
SERVER = (sys.executable, "-m", "bench.server")
UIDS = 64  # reviews that differ in their uid, as the API server's do; sent in turn
ADMITTED = b'"allowed":true'


class SlowStore(Store):
    """A store whose registry takes its time, so that round trips can be counted with a clock."""

    pause_seconds = 0.0

    def record_request(self, request: str) -> None:
        """Count the request, and let whoever sent it wait."""
        super().record_request(request)
        time.sleep(self.pause_seconds)


@dataclass(frozen=True, slots=True)
class Scene:
    """A running webhook, and the registry and the key behind it."""

    store: SlowStore
    signer: Signer
    registry: str
    server: webhook.Webhook

    @property
    def target(self) -> Target:
        """Where the load goes to."""
        return Target(self.server.port, self.server.authority)

    def push(self, *, bundle: bool = False) -> Digest:
        """Push a new image, signed under a tag or with a bundle, and return its digest."""
        config = self.store.push_blob(REPOSITORY, uuid.uuid4().bytes)
        described = {"mediaType": layouts.IMAGE_CONFIG, "digest": str(config), "size": 16}
        digest = self.store.push_manifest(REPOSITORY, layouts.image(described, []), tag=TAG)
        sign = self.signer.sign_bundle if bundle else self.signer.sign_tag
        sign(self.store, REPOSITORY, digest)
        return digest

    def reviews(self, digest: Digest) -> Work:
        """Return the reconciler's polls about ``digest``, each with a uid of its own."""
        image = f"{self.registry}/{REPOSITORY}:{TAG}"
        polls = (reconciler_review(image, digest, str(uuid.uuid4()), synced=digest) for _ in range(UIDS))
        return Work(webhook.VALIDATE, tuple(map(_compact, polls)), ADMITTED)

    def constants(self, reviews: Work) -> tuple[Work, Work]:
        """Return the same bodies for the handlers that answer a constant: one in Flask, one without."""
        return Work(FLASK_PATH, reviews.bodies, ADMITTED), Work(BARE_PATH, reviews.bodies, ADMITTED)


def _compact(review: bytes) -> bytes:
    """Return the review as the API server writes it: without white space."""
    return json.dumps(strictjson.loads(review, limit=limits.REVIEW_BYTES), separators=(",", ":")).encode()


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """Yield the webhook with the constant handlers, ready; everything is ended afterwards."""
    store, signer = SlowStore(), Signer.generate()
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(registry.serve(store))
        settings = _settings(stack, host, signer)
        yield Scene(store, signer, host, stack.enter_context(webhook.start(settings, command=SERVER)))


def seconds_to_ready() -> float:
    """Return how long ``gate serve`` took from the start of its process to its /readyz, looked at every 50 ms."""
    with contextlib.ExitStack() as stack:
        settings = _settings(stack, "127.0.0.1:1", Signer.generate())
        began = time.monotonic()
        stack.enter_context(webhook.start(settings))
        return time.monotonic() - began


def _settings(stack: contextlib.ExitStack, host: str, signer: Signer) -> webhook.WebhookSettings:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-bench-")))
    return webhook.write_settings(directory, host, signer.public_pem, certificate.issue(compose.now()))
