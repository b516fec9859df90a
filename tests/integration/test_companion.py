"""The components that hold without gate, as kustomize renders them; what they refuse is tried in tests/e2e."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gate.fronts.syncs import CLAIM_ANNOTATIONS
from tests.integration.kustomize import MANIFESTS, Manifest, one, overlay, render

SYNCS = ("bound-annotation", "no-shell", "oci-only", "reconciler-writes")
POLICIES = (*SYNCS, "self-protection")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    rendered = {each: overlay(tmp_path_factory.mktemp(each), [each]) for each in POLICIES}
    return {each: one(objects, "ValidatingAdmissionPolicy")["spec"] for each, objects in rendered.items()}


@pytest.mark.parametrize("component", POLICIES)
def test_a_component_adds_its_policy_and_a_binding_that_denies_and_changes_nothing_else(
    component: str, tmp_path: Path
) -> None:
    objects = overlay(tmp_path, [component])
    policy, binding = one(objects, "ValidatingAdmissionPolicy"), one(objects, "ValidatingAdmissionPolicyBinding")
    name = f"gate-{component}"
    assert (policy["metadata"], binding["metadata"]) == ({"name": name}, {"name": name})
    assert binding["spec"] == {"policyName": name, "validationActions": ["Deny"]}
    base = render(MANIFESTS)
    assert [each for each in objects if each["kind"] not in {policy["kind"], binding["kind"]}] == list(base)


def test_a_policy_that_fails_denies_and_never_with_a_403_behind_which_config_sync_hides_the_message(
    policies: dict[str, Manifest],
) -> None:
    for spec in policies.values():
        assert spec["failurePolicy"] == "Fail"
        assert [each["reason"] for each in spec["validations"]] == ["Invalid"]


def test_the_policies_on_syncs_are_about_what_the_webhook_is_asked_about(policies: dict[str, Manifest]) -> None:
    (webhook,) = one(render(MANIFESTS), "ValidatingWebhookConfiguration")["webhooks"]
    for component in SYNCS:
        assert policies[component]["matchConstraints"] == {
            "matchPolicy": webhook["matchPolicy"],
            "resourceRules": webhook["rules"],
        }
        assert "matchConditions" not in policies[component]


def test_the_policies_mean_the_same_by_reconciler_poll_and_claims(policies: dict[str, Manifest]) -> None:
    meanings: dict[str, set[str]] = {}
    for component in SYNCS:
        for variable in policies[component]["variables"]:
            meanings.setdefault(variable["name"], set()).add(variable["expression"])
    for name in ("reconciler", "poll", "written", "writtenBefore"):
        assert len(meanings[name]) == 1, name
    for name in ("written", "writtenBefore"):
        (meaning,) = meanings[name]
        assert tuple(re.findall(r"'(configsync\.gke\.io/[^']+)'", meaning)) == CLAIM_ANNOTATIONS


def test_the_documented_patch_of_oci_only_lets_charts_pass(tmp_path: Path) -> None:
    text = (MANIFESTS / "components" / "oci-only" / "kustomization.yaml").read_text(encoding="utf-8")
    comment = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines() if line.startswith("#"))
    documented = re.search(r"^  patches:\n(?:    .*\n?)+", comment, re.MULTILINE)
    assert documented is not None
    objects = overlay(tmp_path, ["oci-only"], **next(yaml.safe_load_all(documented[0])))
    allowed = one(objects, "ValidatingAdmissionPolicy")["spec"]["variables"][0]
    assert allowed == {"name": "allowed", "expression": "['oci', 'helm']"}


def test_git_is_left_out_by_a_second_condition_and_nothing_else_of_the_webhook_changes(tmp_path: Path) -> None:
    outside, base = overlay(tmp_path, ["git-outside"]), render(MANIFESTS)
    (webhook,) = one(outside, "ValidatingWebhookConfiguration")["webhooks"]
    condition = webhook["matchConditions"].pop()
    assert outside == base
    assert tuple(re.findall(r"'(configsync\.gke\.io/[^']+)'", condition["expression"])) == CLAIM_ANNOTATIONS
    assert condition["expression"].startswith("!( request.operation == 'UPDATE' && [object, oldObject].all(each,")


def test_the_webhook_and_the_namespace_of_gate_are_what_is_protected(policies: dict[str, Manifest]) -> None:
    base, spec = render(MANIFESTS), policies["self-protection"]
    selector = spec["matchConstraints"]["namespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": one(base, "Namespace")["metadata"]["name"]}}
    webhook = one(base, "ValidatingWebhookConfiguration")["metadata"]["name"]
    assert f".metadata.name != '{webhook}'" in spec["validations"][0]["expression"]


def test_the_page_about_the_companions_has_a_row_for_each(policies: dict[str, Manifest]) -> None:
    page = (MANIFESTS.parent / "docs" / "companion.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", page.partition("## git-outside")[0], re.MULTILINE))
    assert rows == {*policies, "git-outside"}
    components = {each.name for each in (MANIFESTS / "components").iterdir()}
    assert rows == {each for each in components if (MANIFESTS / "components" / each / "policy.yaml").exists()} | {
        "git-outside"
    }
