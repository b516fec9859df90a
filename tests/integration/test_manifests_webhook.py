"""The webhook configuration, the Pods' availability and the network, against what the code takes and answers."""

from __future__ import annotations

import ast
import ipaddress
import re
from pathlib import Path

import pytest
import yaml

from gate.fronts import webhook
from gate.fronts.syncs import reconciler_username
from gate.server.app import GRACEFUL_SECONDS
from gate.settings import Settings
from tests.integration.kustomize import MANIFESTS, SERVER, Manifest, container_of, one, overlay, pod_of, render

CLAIMS = ("configsync.gke.io/image-to-sync", "configsync.gke.io/source-url", "configsync.gke.io/source-commit")


@pytest.fixture(scope="module")
def objects() -> tuple[Manifest, ...]:
    return render(MANIFESTS)


@pytest.fixture(scope="module")
def pod(objects: tuple[Manifest, ...]) -> Manifest:
    return pod_of(objects)


@pytest.fixture(scope="module")
def hook(objects: tuple[Manifest, ...]) -> Manifest:
    (found,) = one(objects, "ValidatingWebhookConfiguration")["webhooks"]
    return dict(found)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    objects = overlay(tmp_path_factory.mktemp("network"), ["network-policy"])
    policy = one(objects, "NetworkPolicy")
    assert policy["metadata"]["namespace"] == one(objects, "Deployment")["metadata"]["namespace"]
    return dict(policy["spec"])


# Availability


def test_two_replicas_are_spread_and_one_is_left_by_a_drain_or_a_rollout(objects: tuple[Manifest, ...]) -> None:
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = one(objects, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for each in spread:
        assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
        assert each["labelSelector"] == {"matchLabels": {"app": SERVER}}


def test_the_grace_period_covers_the_sleep_and_the_reviews_in_flight(pod: Manifest) -> None:
    python, option, code = container_of(pod)["lifecycle"]["preStop"]["exec"]["command"]
    assert (python, option) == ("python", "-c")
    ast.parse(code)
    sleep = re.fullmatch(r"import time; time\.sleep\((\d+)\)", code)
    assert sleep is not None
    assert int(sleep[1]) >= 10  # seconds until the API server has surely learnt that the endpoint is gone
    assert GRACEFUL_SECONDS > webhook.REVIEW_SECONDS
    assert int(sleep[1]) + GRACEFUL_SECONDS < pod["terminationGracePeriodSeconds"]


def test_a_busy_server_loses_its_traffic_before_it_loses_its_life(pod: Manifest) -> None:
    seconds = {
        probe: container_of(pod)[probe]["periodSeconds"] * container_of(pod)[probe]["failureThreshold"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert webhook.REVIEW_SECONDS < seconds["readinessProbe"] < seconds["livenessProbe"] < seconds["startupProbe"]
    assert container_of(pod)["startupProbe"]["periodSeconds"] == 1  # ready is seen within a second
    for probe in seconds:
        assert container_of(pod)[probe]["timeoutSeconds"] > 1  # the default, which a slow node may need for TLS alone


def test_memory_is_limited_and_cpu_is_not(pod: Manifest) -> None:
    assert container_of(pod)["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_names_are_resolved_without_search_and_a_lost_packet_costs_a_second(pod: Manifest) -> None:
    options = {each["name"]: each["value"] for each in pod["dnsConfig"]["options"]}
    assert options == {"ndots": "1", "timeout": "1", "attempts": "2"}


# The webhook


def test_the_webhook_has_the_name_of_an_existing_installation(hook: Manifest) -> None:
    assert hook["name"] == "imageverification.webhook.com"


def test_creates_and_updates_of_both_kinds_in_both_versions_are_asked_about(hook: Manifest) -> None:
    (rule,) = hook["rules"]
    assert rule["apiGroups"] == ["configsync.gke.io"]
    assert sorted(rule["apiVersions"]) == ["v1alpha1", "v1beta1"]
    assert sorted(rule["operations"]) == ["CREATE", "UPDATE"]
    assert sorted(rule["resources"]) == ["reposyncs", "rootsyncs"]
    assert rule["scope"] == "*"


def test_the_webhook_fails_closed_and_changes_nothing(hook: Manifest) -> None:
    assert hook["failurePolicy"] == "Fail"
    assert hook["matchPolicy"] == "Equivalent"
    assert hook["sideEffects"] == "NoneOnDryRun"
    assert hook["admissionReviewVersions"] == ["v1", "v1beta1"]


def test_no_label_walks_around_the_webhook(hook: Manifest) -> None:
    assert not {"namespaceSelector", "objectSelector"} & set(hook)


def test_applying_again_keeps_the_ca_bundle_because_none_is_applied(hook: Manifest) -> None:
    assert "caBundle" not in hook["clientConfig"]


def test_the_api_server_waits_longer_than_a_review_may_take(hook: Manifest) -> None:
    assert hook["timeoutSeconds"] == 10
    assert webhook.review_seconds(f"{hook['timeoutSeconds']}s") < hook["timeoutSeconds"]
    assert webhook.review_seconds(None) < hook["timeoutSeconds"]


# What the condition admits and refuses is tried on a real API server in tests/e2e.
def test_the_only_condition_leaves_out_steps_of_a_deletion_that_change_neither_spec_nor_claims_and_are_no_poll(
    hook: Manifest,
) -> None:
    (condition,) = hook["matchConditions"]
    expression = condition["expression"]
    assert expression.startswith("!( request.operation == 'UPDATE' && has(oldObject.metadata.deletionTimestamp) &&")
    assert "object.spec == oldObject.spec" in expression
    accounts = reconciler_username("RootSync", "config-management-system", "root-sync").removesuffix("root-reconciler")
    assert f"(!request.userInfo.username.startsWith('{accounts}') || " in expression
    assert tuple(re.findall(r"'(configsync\.gke\.io/[^']+)'", expression)) == CLAIMS


# The network


def test_only_the_control_plane_may_ask_and_only_at_the_port_of_gate(network: Manifest) -> None:
    assert network["podSelector"] == {"matchLabels": {"app": SERVER}}
    assert network["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = network["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": Settings.parse({}).port}]
    konnectivity = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "konnectivity-agent"}},
    }
    control_plane, agents = rule["from"]
    assert set(control_plane) == {"ipBlock"}
    assert agents == konnectivity  # one peer: either selector alone would admit many more


def test_gate_may_reach_names_registries_the_api_server_and_the_metadata_server(network: Manifest) -> None:
    allowed = {
        (peer["ipBlock"]["cidr"] if peer else "anywhere", port["protocol"], port["port"])
        for rule in network["egress"]
        for peer in rule.get("to", [None])
        for port in rule["ports"]
    }
    assert allowed == {
        ("anywhere", "UDP", 53),
        ("anywhere", "TCP", 53),
        ("anywhere", "TCP", 443),
        ("anywhere", "TCP", 6443),
        ("169.254.169.254/32", "TCP", 80),
        ("169.254.169.252/32", "TCP", 988),
    }


def test_the_documented_patch_sets_the_range_of_the_control_plane(network: Manifest, tmp_path: Path) -> None:
    placeholder = network["ingress"][0]["from"][0]["ipBlock"]["cidr"]
    assert ipaddress.ip_network(placeholder) == ipaddress.ip_network("192.0.2.0/24")  # RFC 5737: nobody's
    text = (MANIFESTS / "components" / "network-policy" / "kustomization.yaml").read_text(encoding="utf-8")
    comment = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines() if line.startswith("#"))
    documented = re.search(r"^  patches:\n(?:    .*\n)+", comment, re.MULTILINE)
    assert documented is not None
    objects = overlay(tmp_path, ["network-policy"], **next(yaml.safe_load_all(documented[0])))
    peers = one(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert peers[0] == {"ipBlock": {"cidr": "172.16.0.0/28"}}
