"""``gate demo`` as a person runs it: a process of its own, the real webhook under gunicorn as its child."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.demo import webhook
from gate.demo.certificate import issue
from gate.demo.signer import Signer

ROOT = Path(__file__).parents[3]
DEMO = (sys.executable, "-m", "gate", "demo")
SECONDS = 30  # a whole demo on a busy machine; alone it takes two


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "TMPDIR": str(directory), "PYTHONPATH": str(ROOT), **more}


def run(command: Sequence[str], surroundings: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=surroundings, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def processes_with(text: str) -> list[int]:
    """Return the processes whose environment or command line holds ``text``, zombies left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in words:
            found.append(int(process.name))
    return found


def assert_no_process_is_left(directory: Path) -> None:
    # A process that was killed is gone a moment later: the kernel does not wait for it on the killer's behalf.
    until = time.monotonic() + 5
    while (left := processes_with(str(directory))) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == []


def assert_nothing_is_left(directory: Path) -> None:
    assert_no_process_is_left(directory)
    assert list(directory.iterdir()) == []


def test_the_demo_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    # A setting in the caller's shell must not reach the webhook of the demo.
    surroundings = environment(tmp_path, GATE_POLICY="/nowhere", GATE_PORT="1", http_proxy="http://127.0.0.1:1")
    done = run(DEMO, surroundings, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split("\n")
    assert [line.split()[-1] for line in lines if line[:2] in {"1.", "2.", "3."}] == ["DENIED", "ADMITTED", "DENIED"]
    (error,) = [line for line in lines if line.startswith("  Error:   ")]
    assert error.startswith(
        "  Error:   KNV2002: failed to patch RootSync annotation: configsync.gke.io/image-to-sync: APIServer error: "
        'admission webhook "imageverification.webhook.com" denied the request: no signatures found for 127.0.0.1:'
    )
    assert "wrong-digest" in done.stdout
    assert any(line.startswith("All 3 verdicts as expected in ") for line in lines)
    assert [line for line in lines if len(line) > 100 and line is not error] == []
    assert "\x1b" not in done.stdout
    assert_nothing_is_left(tmp_path)


@contextmanager
def staying(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a demo that stays, and its page."""
    with subprocess.Popen(
        (*DEMO, "--stay"), env=environment(directory), cwd=directory, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        try:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            yield demo, "".join(lines)
        finally:
            demo.terminate()
            demo.wait(SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_stays_ends_with_a_signal_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with staying(tmp_path) as (demo, _):
        assert len(processes_with(str(tmp_path))) > 1
        demo.send_signal(number)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(SECONDS) == 0
    assert_nothing_is_left(tmp_path)


def test_the_commands_it_prints_work_as_they_stand(tmp_path: Path) -> None:
    with staying(tmp_path) as (_, page):
        script = page[page.index("\nD=") : page.index("Ctrl-C")].replace("\\\n", "")
        lines = script.strip().split("\n")
        # Not every machine has curl; the other commands need nothing but what the project brings.
        without = "#" if shutil.which("curl") else ("#", "curl")
        given, commands = lines[:2], [line for line in lines[2:] if line and not line.startswith(without)]
        results = [
            run(("/bin/sh", "-c", "\n".join((*given, command))), environment(tmp_path), Path("/"))
            for command in commands
        ]
    assert_nothing_is_left(tmp_path)
    told = {command: result.stdout for command, result in zip(commands, results, strict=True)}
    assert [result.returncode for result in results] == [1, *[0] * (len(results) - 1)], results
    assert [command.split()[0] for command in commands if not command.startswith("curl")] == ["gate", "gate", "tail"]
    for words, expected in {
        "config:v1": "wrong-digest",
        "config@sha256:": "verified",
        "review-signed.json": '"allowed":true',
        "review-tampered.json": '"allowed":false',
        "tags/list": ".sig",
        "gate.log": '"event": "decision"',
    }.items():
        assert all(expected in answer for command, answer in told.items() if words in command)


def test_a_signal_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    for number, seconds in enumerate((0.3, 0.6, 0.9)):
        directory = tmp_path / str(number)
        directory.mkdir()
        with subprocess.Popen(DEMO, env=environment(directory), cwd=tmp_path, stdout=subprocess.DEVNULL) as demo:
            time.sleep(seconds)
            demo.terminate()
            assert demo.wait(SECONDS) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        assert_nothing_is_left(directory)


def test_a_demo_that_stays_ends_when_the_webhook_does(tmp_path: Path) -> None:
    with staying(tmp_path) as (demo, _):
        for process in processes_with(f"GATE_STATE_DIR={tmp_path}"):
            os.kill(process, signal.SIGKILL)
        assert demo.wait(SECONDS) == 1
    assert_nothing_is_left(tmp_path)


# A webhook that does not do what it should.


def settings(directory: Path) -> webhook.WebhookSettings:
    serving = issue(datetime.now(UTC))
    return webhook.write_settings(directory, "127.0.0.1:1", Signer.generate().public_pem, serving)


def stand_in(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('gate serve: GATE_PORT 1 cannot be listened on')", "GATE_PORT 1 cannot be listened on"),
        ('print(\'{"event": "the last record"}\\n\\n\')', '"the last record"'),
        ("pass", "nothing was logged"),
        ("print('\\x1b[31m red')", r'"\x1b[31m red"'),
    ],
)
def test_a_webhook_that_does_not_start_is_told_in_one_sentence_with_its_last_words(
    tmp_path: Path, program: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error, webhook.start(settings(tmp_path), command=stand_in(program)):
        pytest.fail("it never became ready")
    assert message in error.value.message
    assert error.value.message.startswith("gate serve did not start: ")
    assert "\n" not in error.value.message


def test_a_taken_port_is_told_in_one_sentence(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    with socket.create_server(("", wanted.port)), pytest.raises(ConfigError) as error, webhook.start(wanted):
        pytest.fail("two servers cannot have one port")
    assert re.fullmatch(r'gate serve did not start: "GATE_PORT .* cannot be listened on: .*"', error.value.message)


def test_a_webhook_that_ignores_the_end_is_killed_with_its_children(tmp_path: Path) -> None:
    hasty = replace(settings(tmp_path), ready_seconds=0.5, stop_seconds=0.2)
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    )
    with pytest.raises(ConfigError, match="was not ready after"), webhook.start(hasty, command=stand_in(stubborn)):
        pytest.fail("it never became ready")
    assert_no_process_is_left(tmp_path)
