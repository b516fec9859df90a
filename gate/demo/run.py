"""``gate demo``: registry, webhook and Config Sync's requests in one process tree, and everything ended afterwards."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gate.core.errors import ConfigError
from gate.demo import certificate
from gate.demo.interruption import Interruption, Stopped
from gate.demo.page import Page
from gate.demo.registry import serve
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.demo.story import REPOSITORY, SIGNED_REVIEW, TAMPERED_REVIEW, Scene, Stage
from gate.demo.webhook import LOG, PACKAGES, Webhook, start, write_settings

_SCENES = 3


@dataclass(frozen=True, slots=True)
class Show:
    """What a caller decides: whether it stays, where it prints (a line at a time), and what time it is."""

    stay: bool
    page: Page
    say: Callable[[str], None]
    now: datetime


def run(show: Show) -> int:
    """Play the demo and return 0 if every verdict was as expected, 1 if one was not, 128+n when signal n stopped it.

    Raises ConfigError when it cannot be played at all.
    """
    scenes: list[Scene] = []
    try:
        interruption = Interruption()
        with interruption.listening(), contextlib.ExitStack() as stack:
            _play(show, stack, interruption, scenes)
    except Stopped as stopped:
        # Whoever stays is told to press Ctrl-C: that is how it ends, and the verdicts stand.
        if not (show.stay and len(scenes) == _SCENES):
            return 128 + stopped.number
    return 0 if all(scene.as_expected for scene in scenes) else 1


def _play(show: Show, stack: contextlib.ExitStack, interruption: Interruption, scenes: list[Scene]) -> None:
    began = time.monotonic()
    with interruption.held():
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-demo-")))
    store, signer = Store(), Signer.generate()
    registry = stack.enter_context(serve(store))
    settings = write_settings(directory, registry, signer.public_pem, certificate.issue(show.now))
    webhook = stack.enter_context(start(settings, interruption.held))
    show.say(show.page.head(registry, f"https://localhost:{webhook.port}"))
    for scene in Stage(store, registry, signer, webhook, directory).scenes():
        scenes.append(scene)
        show.say(show.page.scene(len(scenes), scene))
    show.say(show.page.result(scenes, time.monotonic() - began))
    if not show.stay:
        show.say("`gate demo --stay` keeps it running and prints commands to try.")
    else:
        show.say(_invitation(registry, webhook, directory, scenes[0]))
        _wait(webhook)


def _wait(webhook: Webhook) -> None:
    """Return never: either a signal comes, or the webhook ends, which is an error."""
    while webhook.process.poll() is None:
        time.sleep(0.5)
    raise ConfigError(f"the webhook ended by itself: {webhook.last_words()}")


def _invitation(registry: str, webhook: Webhook, directory: Path, signed: Scene) -> str:
    """Return the commands to try while everything runs; they can be pasted as they stand."""
    post = "curl -s --cacert $D/ca.crt -H 'Content-Type: application/json'"
    verify = "gate verify --plain-http --key $D/cosign.pub"
    return "\n".join(
        (
            "",
            "Everything still runs. In another terminal:",
            "",
            f"D={shlex.quote(str(directory))}",
            f'gate() {{ {_program()} "$@"; }}',
            "",
            "# what the cluster would say of the tampered tag (exit code 1) and of the signed digest (0)",
            f"{verify} {signed.image}",
            f"{verify} \\",
            f"  {registry}/{REPOSITORY}@{signed.digest}",
            "",
            "# Config Sync's requests, once more: the signed bundle is admitted, the tampered one is not",
            f"{post} --data-binary @$D/{SIGNED_REVIEW} '{webhook.url}'",
            f"{post} --data-binary @$D/{TAMPERED_REVIEW} '{webhook.url}'",
            "",
            "# the registry's bundles and signatures, and gate's record of its last decision",
            f"curl -s http://{registry}/v2/{REPOSITORY}/tags/list",
            f"tail -n 1 $D/{LOG}",
            "",
            "Ctrl-C stops it and removes its files.",
        )
    )


def _program() -> str:
    """Return the words that run gate from any directory."""
    script = Path(sys.executable).with_name("gate")
    if script.is_file():
        return shlex.quote(str(script))
    return f"PYTHONPATH={shlex.quote(str(PACKAGES))} {shlex.quote(sys.executable)} -m gate"
