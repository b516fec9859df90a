"""The page that the demo prints: plain text, at most 100 columns, for somebody who has never seen gate."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from gate.demo.story import Scene

WIDTH = 100  # columns; only what is shown exactly as another program prints it may be wider
WEBHOOK = "imageverification.webhook.com"
_INDENT = "   "
_NOMOS_PADDING = 3  # columns between nomos' two


def nomos_status(image: str, digest_hex: str, message: str) -> str:
    """Return what ``nomos status`` prints about a RootSync whose image was denied with ``message``."""
    sync = "<root>:root-sync"
    width = len(sync) + _NOMOS_PADDING
    error = (
        "KNV2002: failed to patch RootSync annotation: configsync.gke.io/image-to-sync: APIServer error:"
        f' admission webhook "{WEBHOOK}" denied the request: {message}'
    )
    return "\n".join(
        (
            "*demo",
            "  --------------------",
            f"  {sync:<{width}}{image}",
            f"  {'ERROR':<{width}}{digest_hex}",
            "  TotalErrorCount: 1",
            f"  Error:   {error}",
            "",
            "For more information, see https://g.co/cloud/acm-errors#knv2002",
        )
    )


@dataclass(frozen=True, slots=True)
class Page:
    """How the page looks; ``colour`` only where somebody watches."""

    colour: bool = False

    def head(self, registry: str, webhook: str) -> str:
        """Return what stands above the scenes."""
        text = (
            "Config Sync applies what it finds in a registry. Before it does, it announces the image's digest with a"
            " patch to its RootSync; the API server asks gate, and gate asks the registry who signed it. Here you see"
            f" that conversation: a registry in memory ({registry}), the real webhook over TLS ({webhook}), and"
            " Config Sync's own requests. Nothing leaves this machine."
        )
        return f"{self._bold('gate demo')}\n\n{textwrap.fill(text, WIDTH)}\n"

    def scene(self, number: int, scene: Scene) -> str:
        """Return one scene; a first denial is shown as the person sees it who waits for the sync."""
        title = f"{number}. Config Sync wants to sync {scene.title}"
        lines = [self._verdict(title, scene), *(_INDENT + line for line in scene.before)]
        if scene.answer.allowed:
            lines.append(f"{_INDENT}gate admits it: {scene.digest}.")
        elif number == 1:
            lines += [f"{_INDENT}`nomos status` shows:", "", *self._exactly(scene)]
        else:
            lines.append(_wrapped(f"gate: {scene.answer.message}"))
        if not scene.as_expected:
            lines.append(self._red(_wrapped(f"Expected: {difference(scene)}")))
        return "\n".join(lines) + "\n"

    def result(self, scenes: Sequence[Scene], seconds: float) -> str:
        """Return the last lines: whether everything was as expected, and otherwise what was not."""
        wrong = [number for number, scene in enumerate(scenes, 1) if not scene.as_expected]
        if not wrong:
            text = f"All {len(scenes)} verdicts as expected in {seconds:.1f} s: only what was signed is synced."
            return self._green(text)
        which = ", ".join(str(number) for number in wrong)
        return self._red(f"{len(wrong)} of {len(scenes)} verdicts not as expected: see {which}.")

    def _verdict(self, title: str, scene: Scene) -> str:
        word = "ADMITTED" if scene.answer.allowed else "DENIED"
        paint = self._green if scene.answer.allowed else self._red
        return f"{self._bold(title)}{' ' * (WIDTH - len(title) - len(word))}{paint(word)}"

    def _exactly(self, scene: Scene) -> list[str]:
        return nomos_status(scene.image, scene.digest.hex, scene.answer.message).split("\n")

    def _bold(self, text: str) -> str:
        return self._paint(text, "1")

    def _red(self, text: str) -> str:
        return self._paint(text, "1;31")

    def _green(self, text: str) -> str:
        return self._paint(text, "1;32")

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def difference(scene: Scene) -> str:
    """Return what should have been, for a scene that did not come out as expected."""
    if scene.allow:
        return f"admitted, but it was denied: {scene.answer.message or 'without a message'}"
    if scene.answer.allowed:
        return f'denied with "{scene.because}", but it was admitted'
    return f'a denial that says "{scene.because}"'


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
