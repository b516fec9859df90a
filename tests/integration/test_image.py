"""The Dockerfile and what goes into its build, against the project and the Deployment; no engine is needed."""

from __future__ import annotations

import re
import tomllib

from gate.settings import Settings
from tests.dockerfile import PROJECT, copied, stages
from tests.integration.kustomize import MANIFESTS, container_of, pod_of, render

BUILD, RUN = stages()


def test_both_stages_stand_on_the_base_image_that_an_argument_names() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE_IMAGE=python:3\.\d+-slim$", text, re.MULTILINE)
    assert (BUILD.base, RUN.base) == ("${BASE_IMAGE} AS build", "${BASE_IMAGE}")


def test_the_image_starts_the_console_script_as_a_server() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (script,) = project["scripts"]
    assert RUN.of("ENTRYPOINT") == (f'["{script}"]',)
    assert RUN.of("CMD") == ('["serve"]',)


def test_the_image_exposes_the_port_that_gate_listens_on() -> None:
    assert RUN.of("EXPOSE") == (str(Settings.parse({}).port),)


def test_the_image_runs_as_the_numeric_user_of_the_deployment() -> None:
    security = pod_of(render(MANIFESTS))["securityContext"]
    assert RUN.of("USER") == (f"{security['runAsUser']}:{security['runAsGroup']}",)


def test_the_command_before_a_pod_stops_is_found_in_the_image() -> None:
    command = container_of(pod_of(render(MANIFESTS)))["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "python"
    assert RUN.environment["PATH"].startswith("/opt/gate/bin:")


def test_nothing_is_written_by_importing_and_nothing_is_held_back_in_a_buffer() -> None:
    assert RUN.environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert RUN.environment["PYTHONUNBUFFERED"] == "1"


def test_only_the_environment_comes_out_of_the_build_stage_and_nothing_runs_after_it() -> None:
    assert RUN.of("COPY") == ("--from=build /opt/gate /opt/gate",)
    assert RUN.of("RUN") == ()


def test_packages_are_installed_as_wheels_by_hash_and_gate_from_the_wheel_made_here() -> None:
    installs = [command for line in BUILD.of("RUN") for command in line.split("&&") if " install " in command]
    locked, made_here = {"--no-deps", "--require-hashes", "--only-binary", ":all:"}, {"--no-deps", "--no-index"}
    assert [locked <= set(each.split()) for each in installs] == [True, True, False]
    assert made_here <= set(installs[-1].split())


def test_the_build_context_is_what_is_copied_and_no_more() -> None:
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == {source for source, _ in copied(BUILD)}


def test_the_build_backend_is_locked_as_it_is_for_development() -> None:
    lines = (PROJECT / "requirements-build.lock").read_text(encoding="utf-8").splitlines(keepends=True)
    locked = "".join(line for line in lines if not line.startswith("#"))
    assert locked.startswith("flit-core==")
    assert f"\n{locked}" in (PROJECT / "requirements-dev.lock").read_text(encoding="utf-8")
