"""The overlay that only watches: what it changes of the base, and what its rollout does at each end it may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.core.policy import LONGEST_TERM, Policy
from gate.core.rfc3339 import format_instant
from gate.trust.policyfile import load_key_policy, load_policy
from tests.fakes.roots import FakeRoots
from tests.fakes.signing import signer
from tests.integration.kustomize import MANIFESTS, Manifest, container_of, one, overlay, pod_of, render, volume_at

NOW = datetime.now(UTC)
UNSET = "until: SET-A-TIME"
WEBHOOK = "ValidatingWebhookConfiguration"


@pytest.fixture(scope="module")
def objects() -> tuple[Manifest, ...]:
    return render(MANIFESTS / "observe")


@pytest.fixture
def ending(objects: tuple[Manifest, ...], tmp_path: Path) -> Callable[[str], Policy]:
    """Return what loads the overlay's policy with another end of the rollout."""
    (tmp_path / "cosign.pub").write_bytes(signer().public_pem)
    written = one(objects, "ConfigMap")["data"]["policy.yaml"].replace("/cosign-key/", "")
    assert written.count(UNSET) == 1

    def load(until: str) -> Policy:
        (tmp_path / "policy.yaml").write_text(written.replace(UNSET, f"until: {until}"))
        return load_policy(tmp_path / "policy.yaml", FakeRoots())

    return load


def test_it_is_the_base_with_the_policy_component_but_for_the_policy_and_what_an_outage_means(
    objects: tuple[Manifest, ...], tmp_path: Path
) -> None:
    rest = [each for each in objects if each["kind"] != "ConfigMap"]
    (hook,) = one(rest, WEBHOOK)["webhooks"]
    assert hook["failurePolicy"] == "Ignore"
    hook["failurePolicy"] = "Fail"
    assert tuple(rest) == overlay(tmp_path, ["policy"])


def test_the_policy_is_where_the_program_reads_it_and_an_edit_keeps_its_name(objects: tuple[Manifest, ...]) -> None:
    pod, config = pod_of(objects), one(objects, "ConfigMap")
    (path,) = (Path(each["value"]) for each in container_of(pod)["env"] if each["name"] == "GATE_POLICY")
    assert volume_at(pod, path)["configMap"]["name"] == config["metadata"]["name"]
    assert config["metadata"]["namespace"] == one(objects, "Deployment")["metadata"]["namespace"]
    assert list(config["data"]) == [path.name]


def test_the_key_that_it_names_is_where_the_secret_is_mounted(objects: tuple[Manifest, ...]) -> None:
    assert "file: /cosign-key/cosign.pub\n" in one(objects, "ConfigMap")["data"]["policy.yaml"]
    assert volume_at(pod_of(objects), Path("/cosign-key/cosign.pub"))["secret"]["secretName"] == "cosign-key"


def test_the_webhook_comes_last(objects: tuple[Manifest, ...]) -> None:
    assert objects[-1]["kind"] == WEBHOOK


def test_what_it_would_deny_is_what_the_base_denies(ending: Callable[[str], Policy], tmp_path: Path) -> None:
    observed = ending(format_instant(NOW + timedelta(days=14)))
    assert observed.rollout is not None
    assert replace(observed, rollout=None) == load_key_policy(tmp_path / "cosign.pub", FakeRoots())


def test_an_end_that_was_never_set_does_not_load(ending: Callable[[str], Policy]) -> None:
    with pytest.raises(ConfigError, match=r'rollout\.until: "SET-A-TIME" is not a time of the form 2026-'):
        ending("SET-A-TIME")


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), LONGEST_TERM - timedelta(minutes=1)])
def test_an_end_within_thirty_days_is_in_effect(ending: Callable[[str], Policy], ahead: timedelta) -> None:
    assert ending(format_instant(NOW + ahead)).without_effect(NOW) == ()


@pytest.mark.parametrize(
    ("ahead", "why"),
    [
        (-timedelta(minutes=1), "it is past"),
        (-timedelta(days=400), "it is past"),
        (LONGEST_TERM + timedelta(minutes=1), "it ends more than 30 days ahead"),
    ],
)
def test_an_end_that_is_past_or_far_ahead_loads_without_effect_and_that_is_told(
    ending: Callable[[str], Policy], ahead: timedelta, why: str
) -> None:
    until = format_instant(NOW + ahead)
    assert ending(until).without_effect(NOW) == (f"the rollout until {until} has no effect: {why}",)
