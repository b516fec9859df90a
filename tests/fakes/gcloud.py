"""A Google Cloud and a cluster in a file, and the ``gcloud`` and ``kubectl`` that speak to them.

Put on the PATH under both names. It knows the commands of ``iam/setup.sh`` as gcloud 528 and kubectl 1.30 spell them
and refuses every other. FAKE_CLOUD names a folder: ``state.json`` is what exists, each command is a line of
``calls.jsonl``, and a command that begins with an entry of ``state["failing"]`` fails.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TYPE_CHECKING = False  # as typing's, whose import would take as long as everything else here, at every command
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    State = dict[str, Any]
    Flags = dict[str, str]

# Columns separated by commas, an absent one empty: what `gcloud meta list-from-json` prints for these formats.
POLICY = {
    "flatten": "bindings[].members",
    "format": "csv[no-heading](bindings.role,bindings.members,bindings.condition.title)",
}
CLUSTER = {"format": "csv[no-heading](workloadIdentityConfig.workloadPool,autopilot.enabled)"}
POOLS = {"format": "csv[no-heading](name,config.workloadMetadataConfig.mode)"}
ANNOTATION = "iam.gke.io/gcp-service-account"


def refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"ERROR: (gcloud) {reason}\n")
    sys.exit(1)


def only(flags: Flags, expected: Flags) -> None:
    if flags != expected:
        refuse(f"unrecognized arguments: {flags}")


def describe_project(state: State, name: str, flags: Flags) -> str:
    only(flags, {"format": "value(projectNumber)"})
    return str(state["projects"].get(name) or refuse("PERMISSION_DENIED: the project may not exist"))


def describe_cluster(state: State, name: str, flags: Flags) -> str:
    cluster = state["clusters"].get(f"{flags.pop('project')}/{flags.pop('location')}/{name}")
    only(flags, CLUSTER)
    return f"{cluster['pool']},{cluster['autopilot']}" if cluster else refuse("NOT_FOUND: no such cluster")


def list_node_pools(state: State, _: str, flags: Flags) -> str:
    cluster = state["clusters"][f"{flags.pop('project')}/{flags.pop('location')}/{flags.pop('cluster')}"]
    only(flags, POOLS)
    return "\n".join(f"{name},{mode}" for name, mode in cluster["nodePools"].items())


def list_apis(state: State, _: str, flags: Flags) -> str:
    project = flags.pop("project")
    only(flags, {"enabled": "", "format": "value(config.name)"})
    return "\n".join(state["apis"].get(project, ()))


def enable_api(state: State, name: str, flags: Flags) -> str:
    apis = state["apis"].setdefault(flags.pop("project"), [])
    only(flags, {})
    if name not in apis:
        apis.append(name)
    return ""


def needs_api(state: State, project: str, api: str) -> None:
    if api not in state["apis"].get(project, ()):
        refuse(f"SERVICE_DISABLED: {api} has not been used in project {project} before or it is disabled")


def repository_of(flags: Flags, name: str) -> str:
    return f"{flags.pop('project')}/{flags.pop('location')}/{name}"


def describe_repository(state: State, name: str, flags: Flags) -> str:
    needs_api(state, flags["project"], "artifactregistry.googleapis.com")
    found = state["repositories"].get(repository_of(flags, name)) or refuse("NOT_FOUND: no such repository")
    only(flags, {"format": "value(format)"})
    return str(found["format"])


def create_repository(state: State, name: str, flags: Flags) -> str:
    needs_api(state, flags["project"], "artifactregistry.googleapis.com")
    key = repository_of(flags, name)
    only(flags, {"repository-format": "docker"})
    if key in state["repositories"]:
        refuse("ALREADY_EXISTS: the repository already exists")
    state["repositories"][key] = {"format": "DOCKER", "bindings": []}
    return ""


def describe_account(state: State, name: str, flags: Flags) -> str:
    needs_api(state, flags.pop("project"), "iam.googleapis.com")
    only(flags, {"format": "value(disabled)"})
    found = state["serviceAccounts"].get(name) or refuse("NOT_FOUND: no such service account")
    return str(found["disabled"])


def create_account(state: State, name: str, flags: Flags) -> str:
    project = flags.pop("project")
    needs_api(state, project, "iam.googleapis.com")
    only(flags, {"display-name": "Signature verification of gate"})
    email = f"{name}@{project}.iam.gserviceaccount.com"
    if email in state["serviceAccounts"]:
        refuse("ALREADY_EXISTS: the service account already exists")
    state["serviceAccounts"][email] = {"disabled": "", "bindings": []}
    return ""


def bindings_of(state: State, kind: str, name: str, flags: Flags) -> list[list[str]]:
    if kind == "repositories":
        key = repository_of(flags, name)
    else:
        flags.pop("project")
        key = name
    found = state[kind].get(key) or refuse("NOT_FOUND: no such resource")
    bindings: list[list[str]] = found["bindings"]
    return bindings


def show_policy(kind: str) -> Callable[[State, str, Flags], str]:
    def show(state: State, name: str, flags: Flags) -> str:
        bindings = bindings_of(state, kind, name, flags)
        only(flags, POLICY)
        # gcloud prints one row of empty columns for a policy without bindings.
        return "\n".join(",".join(each) for each in bindings) or ",,"

    return show


def add_binding(kind: str) -> Callable[[State, str, Flags], str]:
    def add(state: State, name: str, flags: Flags) -> str:
        bindings = bindings_of(state, kind, name, flags)
        if any(title for *_, title in bindings) and "condition" not in flags:
            refuse("Adding a binding without specifying a condition to a policy containing conditions is prohibited")
        binding = [flags.pop("role"), flags.pop("member"), ""]
        only(flags, {"condition": "None"})
        if binding not in bindings:
            bindings.append(binding)
        return "the whole policy, which nobody asked for"

    return add


def get_annotation(state: State, name: str, flags: Flags) -> str:
    path = ANNOTATION.replace(".", "\\.")
    only(flags, {"ignore-not-found": "", "output": f"jsonpath={{.metadata.annotations.{path}}}"})
    return str(state["kubernetes"].get(name) or "")


def annotate(state: State, name: str, flags: Flags) -> str:
    key, _, value = flags.pop("").partition("=")
    only(flags, {})
    if name not in state["kubernetes"]:
        refuse('serviceaccounts "signature-verification-sa" not found')
    if key != ANNOTATION or state["kubernetes"][name]:
        refuse("--overwrite is false but found the annotation")
    state["kubernetes"][name] = value
    return ""


COMMANDS: dict[str, Callable[[State, str, Flags], str]] = {
    "gcloud projects describe": describe_project,
    "gcloud container clusters describe": describe_cluster,
    "gcloud container node-pools list": list_node_pools,
    "gcloud services list": list_apis,
    "gcloud services enable": enable_api,
    "gcloud artifacts repositories describe": describe_repository,
    "gcloud artifacts repositories create": create_repository,
    "gcloud artifacts repositories get-iam-policy": show_policy("repositories"),
    "gcloud artifacts repositories add-iam-policy-binding": add_binding("repositories"),
    "gcloud iam service-accounts describe": describe_account,
    "gcloud iam service-accounts create": create_account,
    "gcloud iam service-accounts get-iam-policy": show_policy("serviceAccounts"),
    "gcloud iam service-accounts add-iam-policy-binding": add_binding("serviceAccounts"),
    "kubectl get serviceaccount": get_annotation,
    "kubectl annotate serviceaccount": annotate,
}


def parse(words: list[str]) -> tuple[str, str, Flags]:
    """Return command, what it is about, and the flags; of an annotation the flag is called "" (it has no name)."""
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    plain = [word for word in words if not word.startswith("--")]
    if plain[0] == "kubectl":
        if flags.pop("context") != "gke_acme-prod_us-central1_prod":
            refuse("context was not found")
        command, rest = " ".join(plain[:3]), [f"{flags.pop('namespace')}/{plain[3]}", *plain[4:]]
    else:
        command = next((each for each in COMMANDS if plain[: len(each.split())] == each.split()), "")
        rest = plain[len(command.split()) :]
    if command not in COMMANDS or len(rest) > 2:
        refuse(f"Invalid choice: {words}")
    if rest[1:]:
        flags[""] = rest[1]
    return command, rest[0] if rest else "", flags


def main() -> None:
    cloud = Path(os.environ["FAKE_CLOUD"])
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    with (cloud / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if words[0] == "gcloud" and os.environ.get("CLOUDSDK_CORE_DISABLE_PROMPTS") != "1":
        refuse("a question was asked and nobody answers")
    state = json.loads((cloud / "state.json").read_text())
    command, name, flags = parse(words)
    if command in state["failing"]:
        refuse("PERMISSION_DENIED: as the test wants it")
    answer = COMMANDS[command](state, name, flags)
    (cloud / "state.json").write_text(json.dumps(state))
    sys.stdout.write(answer + "\n" if answer else "")


if __name__ == "__main__":
    main()
