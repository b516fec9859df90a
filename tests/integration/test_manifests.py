"""What ``kubectl kustomize manifests`` renders is what the code expects to run as."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.fronts import webhook
from gate.settings import DEFAULTS, Settings
from tests.integration.kustomize import (
    MANIFESTS,
    SERVER,
    Manifest,
    container_of,
    one,
    overlay,
    pod_of,
    render,
    volume_at,
)

NAMESPACE = "oci-webhook"

# Names and kinds of an installation that exists already: applying over it must replace each of them.
OBJECTS = (
    ("Namespace", NAMESPACE),
    ("ServiceAccount", "signature-verification-sa"),
    ("Role", "signature-verification-token-reader"),
    ("RoleBinding", "signature-verification-token-reader"),
    ("Service", "signature-verification-service"),
    ("Deployment", SERVER),
    ("PodDisruptionBudget", SERVER),
    ("ValidatingWebhookConfiguration", "image-verification-webhook"),
)


@pytest.fixture(scope="module")
def objects() -> tuple[Manifest, ...]:
    return render(MANIFESTS)


@pytest.fixture(scope="module")
def pod(objects: tuple[Manifest, ...]) -> Manifest:
    return pod_of(objects)


@pytest.fixture(scope="module")
def container(pod: Manifest) -> Manifest:
    return container_of(pod)


@pytest.fixture(scope="module")
def hook(objects: tuple[Manifest, ...]) -> Manifest:
    (found,) = one(objects, "ValidatingWebhookConfiguration")["webhooks"]
    return dict(found)


@pytest.fixture(scope="module")
def settings(container: Manifest) -> Settings:
    return settings_of(container)


def settings_of(container: Manifest) -> Settings:
    """Return what the program in the container will take for its settings."""
    return Settings.parse({each["name"]: each["value"] for each in container.get("env", [])})


# Names


def test_the_objects_have_the_names_of_an_existing_installation_and_the_webhook_comes_last(
    objects: tuple[Manifest, ...],
) -> None:
    assert tuple((each["kind"], each["metadata"]["name"]) for each in objects) == OBJECTS


def test_everything_that_has_a_namespace_is_in_the_same_one(objects: tuple[Manifest, ...]) -> None:
    cluster_wide = {"Namespace", "ValidatingWebhookConfiguration"}
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] not in cluster_wide} == {NAMESPACE}


def test_plain_apply_installs_the_base() -> None:
    assert render(MANIFESTS) == render(MANIFESTS / "base")


def test_the_selector_is_one_label_because_a_selector_cannot_be_changed(objects: tuple[Manifest, ...]) -> None:
    spec = one(objects, "Deployment")["spec"]
    assert spec["selector"] == {"matchLabels": {"app": SERVER}}
    assert spec["template"]["metadata"]["labels"]["app"] == SERVER


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_whatever_selects_pods_selects_those_of_the_deployment(objects: tuple[Manifest, ...], kind: str) -> None:
    selector = one(objects, kind)["spec"]["selector"]
    assert selector.get("matchLabels", selector) == {"app": SERVER}


def test_the_image_is_a_placeholder_that_kustomize_sets(container: Manifest, tmp_path: Path) -> None:
    assert (container["name"], container["image"]) == (SERVER, SERVER)
    image = {"name": SERVER, "newName": "us-docker.pkg.dev/acme/tools/gate", "digest": "sha256:" + 64 * "0"}
    objects = overlay(tmp_path, [], images=[image])
    assert container_of(pod_of(objects))["image"] == f"{image['newName']}@{image['digest']}"


def test_an_annotation_of_the_service_account_survives_because_none_is_applied(objects: tuple[Manifest, ...]) -> None:
    assert set(one(objects, "ServiceAccount")["metadata"]) == {"name", "namespace"}


# The program


def test_the_container_runs_the_server(container: Manifest) -> None:
    assert container["args"] == ["serve"]
    assert "command" not in container


def test_every_variable_is_a_setting_of_gate(container: Manifest, tmp_path: Path) -> None:
    with_policy = container_of(pod_of(overlay(tmp_path, ["policy"])))
    for each in (container, with_policy):
        assert {variable["name"] for variable in each.get("env", [])} <= set(DEFAULTS)


def test_no_service_of_the_namespace_can_set_a_variable_of_gate(pod: Manifest) -> None:
    assert pod["enableServiceLinks"] is False


def test_webhook_service_and_container_meet_at_the_port_that_gate_listens_on(
    objects: tuple[Manifest, ...], hook: Manifest, container: Manifest, settings: Settings
) -> None:
    (service,) = one(objects, "Service")["spec"]["ports"]
    (port,) = container["ports"]
    assert hook["clientConfig"]["service"]["port"] == service["port"] == 10250
    assert service["targetPort"] == port["name"]
    assert port["containerPort"] == settings.port


def test_the_webhook_asks_the_service_at_the_path_that_gate_answers(
    objects: tuple[Manifest, ...], hook: Manifest
) -> None:
    service = hook["clientConfig"]["service"]
    metadata = one(objects, "Service")["metadata"]
    assert service["path"] == webhook.VALIDATE_PATH
    assert (service["namespace"], service["name"]) == (metadata["namespace"], metadata["name"])


def test_the_probes_speak_https_to_the_paths_that_gate_answers(container: Manifest) -> None:
    paths = {
        "startupProbe": webhook.HEALTH_PATH,
        "livenessProbe": webhook.HEALTH_PATH,
        "readinessProbe": webhook.READY_PATH,
    }
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": container["ports"][0]["name"], "scheme": "HTTPS"}


def test_the_keys_and_certificates_that_gate_reads_are_in_the_secrets(pod: Manifest, settings: Settings) -> None:
    assert settings.key.name == "cosign.pub"
    assert (settings.tls_cert.name, settings.tls_key.name) == ("tls.crt", "tls.key")
    for path, name in (
        (settings.key, "cosign-key"),
        (settings.tls_cert, "webhook-tls"),
        (settings.tls_key, "webhook-tls"),
    ):
        secret = volume_at(pod, path)["secret"]
        assert secret["secretName"] == name
        assert not secret.get("optional", False)
        assert secret["defaultMode"] == 0o440


def test_the_only_directory_that_gate_writes_is_a_bounded_empty_one(pod: Manifest, settings: Settings) -> None:
    writable = [mount for mount in container_of(pod)["volumeMounts"] if not mount.get("readOnly")]
    assert [mount["mountPath"] for mount in writable] == [str(settings.state_dir)]
    assert volume_at(pod, settings.state_dir)["emptyDir"]["sizeLimit"]


def test_the_service_account_reads_registry_credentials_and_nothing_else(
    objects: tuple[Manifest, ...], pod: Manifest, settings: Settings
) -> None:
    role, binding = one(objects, "Role"), one(objects, "RoleBinding")
    names = [settings.token_secret, settings.dockerconfig_secret]
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]}
    assert role["rules"] == [rule]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["roleRef"]["kind"] == "Role"
    subject = {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": NAMESPACE}
    assert binding["subjects"] == [subject]
    assert pod["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is True


# The policy


def test_without_the_component_the_policy_is_every_image_and_the_key(settings: Settings) -> None:
    assert settings.policy is None


def test_the_policy_component_reads_the_config_map_without_sub_path(tmp_path: Path) -> None:
    pod = pod_of(overlay(tmp_path, ["policy"]))
    policy = settings_of(container_of(pod)).policy
    assert policy is not None
    assert policy.name == "policy.yaml"
    assert volume_at(pod, policy)["configMap"] == {"name": "gate-policy", "optional": True}


def test_a_policy_that_carries_its_keys_needs_no_secret_with_a_key(tmp_path: Path, settings: Settings) -> None:
    pod = pod_of(overlay(tmp_path, ["policy"]))
    assert volume_at(pod, settings.key)["secret"]["optional"] is True


def test_an_absent_config_map_does_not_keep_the_pod_from_starting(pod: Manifest) -> None:
    assert volume_at(pod, Path("/etc/gate"))["configMap"] == {"name": "gate-policy", "optional": True}


# Security


def test_the_pod_is_not_root_and_has_the_default_seccomp_profile(pod: Manifest) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_the_container_has_no_privilege_and_a_read_only_root(container: Manifest) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_namespace_admits_only_pods_without_privileges(objects: tuple[Manifest, ...]) -> None:
    assert one(objects, "Namespace")["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
