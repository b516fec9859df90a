"""``iam/setup.sh`` against a Google Cloud in a file, and the Config Connector resources against their fields."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kustomize import MANIFESTS, Manifest, one, render

IAM = MANIFESTS.parent / "iam"
SETUP = IAM / "setup.sh"
FAKE = MANIFESTS.parent / "tests" / "fakes" / "gcloud.py"
# One name for each shell that there is: sh is often dash or bash.
SHELLS = {os.path.realpath(path): name for name in ("bash", "dash", "ksh", "sh") if (path := shutil.which(name))}

NAMES = "ns/oci-webhook/sa/signature-verification-sa"
POOL = "acme-prod.svc.id.goog"
PRINCIPAL = f"principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/{POOL}/subject/{NAMES}"
EMAIL = "gate-reader@acme-prod.iam.gserviceaccount.com"
READER = "roles/artifactregistry.reader"
ARTIFACTS = "artifactregistry.googleapis.com"
READS = [READER, PRINCIPAL, ""]
ACTS = ["roles/iam.workloadIdentityUser", f"serviceAccount:{POOL}[oci-webhook/signature-verification-sa]", ""]

CLUSTER = "--cluster=acme-prod/us-central1/prod"
PLATFORM = "--repository=us-docker.pkg.dev/acme-config/platform"
LOCATION = "europe-west1"
BUNDLES = f"--create-repository={LOCATION}-docker.pkg.dev/acme-shared/bundles"
CONTEXT = "--context=gke_acme-prod_us-central1_prod"
ACCOUNT = f"--service-account={EMAIL}"
DIRECT = (CLUSTER, PLATFORM, BUNDLES, CONTEXT)
OLDER = (*DIRECT, ACCOUNT)
KUBERNETES = "oci-webhook/signature-verification-sa"

State = dict[str, Any]
Call = list[str]


def fresh() -> State:
    """Return a cloud with a cluster and a repository whose API was disabled; nothing was set up for gate."""
    return {
        "projects": {"acme-prod": "123456789012"},
        "clusters": {
            "acme-prod/us-central1/prod": {"pool": POOL, "autopilot": "", "nodePools": {"main": "GKE_METADATA"}}
        },
        "apis": {"acme-prod": ["container.googleapis.com"], "acme-config": [], "acme-shared": []},
        "repositories": {"acme-config/us/platform": {"format": "DOCKER", "bindings": []}},
        "serviceAccounts": {},
        "kubernetes": {KUBERNETES: None},
        "failing": [],
    }


@dataclass(frozen=True, slots=True)
class Cloud:
    """The cloud in ``folder``, and the only programs that a script under test can reach."""

    folder: Path

    @property
    def state(self) -> State:
        return dict(json.loads((self.folder / "state.json").read_text()))

    def becomes(self, state: State) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))

    def calls(self) -> list[Call]:
        """Return the commands since the last time this was asked."""
        log = self.folder / "calls.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return found

    def run(self, *command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        # Nothing but these is on the PATH: a real gcloud must not be reached whatever a test does.
        environment = {"PATH": str(self.folder / "bin"), "FAKE_CLOUD": str(self.folder)}
        return subprocess.run(
            [str(each) for each in command],
            env=environment,
            input=text,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def setup(self, *arguments: str, shell: str | None = None) -> subprocess.CompletedProcess[str]:
        interpreter = [str(shutil.which(shell))] if shell else []
        return self.run(*interpreter, SETUP, *arguments)


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return made_in(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Return a cloud that no test speaks to."""
    return made_in(tmp_path_factory.mktemp("untouched"))


def made_in(folder: Path) -> Cloud:
    programs = folder / "bin"
    programs.mkdir()
    for name in ("gcloud", "kubectl"):
        # Isolated, and compiled once: a run starts twenty of them.
        start = f"import sys; sys.path.append({str(FAKE.parent)!r}); import {FAKE.stem} as fake; fake.main()"
        (programs / name).write_text(f"#!{sys.executable} -IS\n{start}\n")
        (programs / name).chmod(0o755)
    for name in ("cat", "cut", "tr"):
        (programs / name).symlink_to(str(shutil.which(name)))
    made = Cloud(folder)
    made.becomes(fresh())
    return made


def is_change(call: Call) -> bool:
    return any(word in {"enable", "create", "add-iam-policy-binding", "annotate"} for word in call)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only sentence that the script itself said, which must be its last word."""
    own = [line for line in done.stderr.splitlines() if line.startswith("setup.sh: ")]
    assert own == done.stderr.splitlines()[-1:]
    return own[0].removeprefix("setup.sh: ")


# What it does


def test_the_direct_way_gives_the_principal_of_gate_the_reader_role_on_every_repository(cloud: Cloud) -> None:
    done = cloud.setup(*DIRECT)
    assert (done.returncode, done.stderr) == (0, "")
    expected = fresh()
    expected["apis"]["acme-prod"].append("iamcredentials.googleapis.com")
    expected["apis"] |= {"acme-config": [ARTIFACTS], "acme-shared": [ARTIFACTS]}
    expected["repositories"]["acme-config/us/platform"]["bindings"] = [READS]
    expected["repositories"][f"acme-shared/{LOCATION}/bundles"] = {"format": "DOCKER", "bindings": [READS]}
    assert cloud.state == expected


def test_the_older_way_gives_the_role_to_a_service_account_that_gate_acts_as(cloud: Cloud) -> None:
    assert cloud.setup(*OLDER).returncode == 0
    expected = fresh()
    reads = [READER, f"serviceAccount:{EMAIL}", ""]
    expected["apis"]["acme-prod"] += ["iamcredentials.googleapis.com", "iam.googleapis.com"]
    expected["apis"] |= {"acme-config": [ARTIFACTS], "acme-shared": [ARTIFACTS]}
    expected["repositories"]["acme-config/us/platform"]["bindings"] = [reads]
    expected["repositories"][f"acme-shared/{LOCATION}/bundles"] = {"format": "DOCKER", "bindings": [reads]}
    expected["serviceAccounts"][EMAIL] = {"disabled": "", "bindings": [ACTS]}
    expected["kubernetes"][KUBERNETES] = EMAIL
    assert cloud.state == expected


@pytest.mark.parametrize("arguments", [DIRECT, OLDER], ids=["direct", "older"])
def test_a_second_run_asks_for_no_change_and_says_so(cloud: Cloud, arguments: tuple[str, ...]) -> None:
    cloud.setup(*arguments)
    first, state = cloud.calls(), cloud.state
    done = cloud.setup(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Everything was there already; nothing was changed.\n")
    assert cloud.calls() == [call for call in first if not is_change(call)]
    assert cloud.state == state


def test_a_run_that_changes_something_prints_each_change_and_does_not_say_that_nothing_changed(cloud: Cloud) -> None:
    done = cloud.setup(CLUSTER, PLATFORM)
    printed = [shlex.split(line.removeprefix("+ ")) for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert printed == [call for call in cloud.calls() if is_change(call)]
    assert "nothing was changed" not in done.stdout
    assert "policy" not in done.stdout.replace("add-iam-policy-binding", "")


def test_nothing_is_changed_before_the_cluster_was_checked(cloud: Cloud) -> None:
    cloud.setup(CLUSTER, PLATFORM)
    calls = cloud.calls()
    first = next(index for index, call in enumerate(calls) if is_change(call))
    assert [call[1] for call in calls[:first]][:3] == ["projects", "container", "container"]


def test_of_one_project_the_apis_are_listed_once(cloud: Cloud) -> None:
    cloud.setup(CLUSTER, ACCOUNT, "--create-repository=us-docker.pkg.dev/acme-prod/a")
    assert sum(call[1:3] == ["services", "list"] for call in cloud.calls()) == 1


def test_a_grant_with_a_condition_or_to_another_is_not_taken_for_this_one(cloud: Cloud) -> None:
    state = fresh()
    others = [[READER, PRINCIPAL, "until May"], [READER, PRINCIPAL + "2", ""], ["roles/viewer", PRINCIPAL, ""]]
    state["repositories"]["acme-config/us/platform"]["bindings"] = others
    cloud.becomes(state)
    assert cloud.setup(CLUSTER, PLATFORM).returncode == 0
    assert cloud.state["repositories"]["acme-config/us/platform"]["bindings"] == [*others, READS]


def test_an_autopilot_cluster_needs_no_check_of_its_node_pools(cloud: Cloud) -> None:
    state = fresh()
    state["clusters"]["acme-prod/us-central1/prod"] |= {"autopilot": "True", "nodePools": {}}
    cloud.becomes(state)
    assert cloud.setup(CLUSTER, PLATFORM).returncode == 0
    assert not any("node-pools" in call for call in cloud.calls())


def test_only_the_named_node_pools_need_the_metadata_server(cloud: Cloud) -> None:
    state = fresh()
    state["clusters"]["acme-prod/us-central1/prod"]["nodePools"] |= {"old": "", "new": "GKE_METADATA"}
    cloud.becomes(state)
    assert cloud.setup(CLUSTER, PLATFORM, "--node-pool=main", "--node-pool=new").returncode == 0
    assert "node pool old has no metadata server" in sentence(cloud.setup(CLUSTER, PLATFORM, "--node-pool=old"))


def test_without_a_context_the_annotation_is_left_to_the_reader(cloud: Cloud) -> None:
    done = cloud.setup(CLUSTER, PLATFORM, ACCOUNT)
    assert done.returncode == 0
    assert not any(call[0] == "kubectl" for call in cloud.calls())
    (left,) = (line for line in done.stdout.splitlines() if line.startswith("#"))
    command = shlex.split(left.partition("left to you: ")[2])
    assert cloud.run(shutil.which("sh") or "sh", "-c", shlex.join([*command, CONTEXT])).returncode == 0
    assert cloud.state["kubernetes"][KUBERNETES] == EMAIL


def test_without_a_context_the_direct_way_says_that_an_annotation_was_not_looked_for(cloud: Cloud) -> None:
    warning = "# Without --context this was not checked: the ServiceAccount must not be annotated with"
    assert warning in cloud.setup(CLUSTER, PLATFORM).stdout
    assert warning not in cloud.setup(CLUSTER, PLATFORM, CONTEXT).stdout


def test_a_repository_may_have_a_host_for_its_name(cloud: Cloud) -> None:
    state = fresh()
    state["repositories"]["acme-config/us/registry.example"] = {"format": "DOCKER", "bindings": []}
    cloud.becomes(state)
    assert cloud.setup(CLUSTER, "--repository=us-docker.pkg.dev/acme-config/registry.example").returncode == 0
    assert cloud.state["repositories"]["acme-config/us/registry.example"]["bindings"] == [READS]


# Dry runs


@pytest.mark.parametrize("arguments", [DIRECT, OLDER], ids=["direct", "older"])
def test_a_dry_run_runs_nothing_and_needs_no_gcloud(cloud: Cloud, arguments: tuple[str, ...]) -> None:
    for name in ("gcloud", "kubectl"):
        (cloud.folder / "bin" / name).unlink()
    done = cloud.setup("--dry-run", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert cloud.calls() == []
    assert cloud.state == fresh()


@pytest.mark.parametrize(
    ("arguments", "shell"),
    [(DIRECT, "sh"), ((CLUSTER, BUNDLES, ACCOUNT), "sh"), *((OLDER, each) for each in SHELLS.values())],
    ids=["direct", "without context", *(f"older in {each}" for each in SHELLS.values())],
)
def test_the_printed_commands_are_exactly_those_that_run(cloud: Cloud, arguments: tuple[str, ...], shell: str) -> None:
    printed = cloud.setup(*arguments, "--dry-run", shell=shell).stdout
    assert cloud.setup(*arguments, shell=shell).returncode == 0
    ran, state = cloud.calls(), cloud.state
    cloud.becomes(fresh())
    cloud.run(str(shutil.which(shell)), "-u", "-c", printed)
    assert cloud.calls() == ran
    assert cloud.state == state != fresh()


def test_every_change_that_may_be_left_out_is_marked_in_a_dry_run(cloud: Cloud) -> None:
    lines = cloud.setup("--dry-run", *OLDER).stdout.splitlines()
    for before, line in itertools.pairwise(lines):
        assert is_change(shlex.split(line, comments=True)) <= before.startswith("# Only if ")


# What is missing


def broken(path: str, value: object) -> State:
    """Return a fresh cloud in which the thing at ``path`` (keys divided by |) is ``value``, or absent for None."""
    state = fresh()
    *parents, last = path.split("|")
    inner = state
    for each in parents:
        inner = inner[each]
    inner[last] = value
    if value is None:
        del inner[last]
    return state


IN_CLUSTER = "clusters|acme-prod/us-central1/prod"
MISSING = {
    "no project": (broken("projects|acme-prod", None), "cannot read the number of the project acme-prod"),
    "odd number": (broken("projects|acme-prod", "12 34"), "gcloud gave no number for the project acme-prod: 12 34"),
    "no cluster": (broken(IN_CLUSTER, None), "cannot read the cluster acme-prod/us-central1/prod"),
    "no pool": (broken(f"{IN_CLUSTER}|pool", ""), "has no Workload Identity with the pool acme-prod.svc.id.goog"),
    "other pool": (
        broken(f"{IN_CLUSTER}|pool", "other.svc.id.goog"),
        "has no Workload Identity with the pool acme-prod.svc.id.goog",
    ),
    "old node pool": (
        broken(f"{IN_CLUSTER}|nodePools|old", "GCE_METADATA"),
        "the node pool old has no metadata server",
    ),
    "unset node pool": (broken(f"{IN_CLUSTER}|nodePools|old", ""), "the node pool old has no metadata server"),
    "no node pools": (broken(f"{IN_CLUSTER}|nodePools", {}), "has no node pools"),
    "no repository": (
        broken("repositories|acme-config/us/platform", None),
        "there is no repository us-docker.pkg.dev/acme-config/platform",
    ),
    "another format": (
        broken("repositories|acme-config/us/platform|format", "MAVEN"),
        "the repository us-docker.pkg.dev/acme-config/platform has the format MAVEN",
    ),
    "annotated": (
        broken(f"kubernetes|{KUBERNETES}", "other@acme-prod.iam.gserviceaccount.com"),
        "is annotated to act as other@acme-prod.iam.gserviceaccount.com",
    ),
}


@pytest.mark.parametrize(("state", "expected"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said_in_one_sentence(cloud: Cloud, state: State, expected: str) -> None:
    cloud.becomes(state)
    done = cloud.setup(*DIRECT)
    assert done.returncode == 1
    assert expected in sentence(done)
    repositories = [each["bindings"] for each in cloud.state["repositories"].values()]
    assert repositories == [[]] * len(repositories)


def test_a_node_pool_that_does_not_exist_is_not_one_that_is_fine(cloud: Cloud) -> None:
    done = cloud.setup(*DIRECT, "--node-pool=main", "--node-pool=mian")
    assert done.returncode == 1
    assert sentence(done) == "the cluster acme-prod/us-central1/prod has no node pool mian"


def test_a_disabled_service_account_is_refused(cloud: Cloud) -> None:
    state = fresh()
    state["apis"]["acme-prod"].append("iam.googleapis.com")
    state["serviceAccounts"][EMAIL] = {"disabled": "True", "bindings": []}
    cloud.becomes(state)
    assert sentence(cloud.setup(*OLDER)) == f"the service account {EMAIL} is disabled"


def test_an_annotation_with_another_account_is_not_replaced(cloud: Cloud) -> None:
    cloud.becomes(broken(f"kubernetes|{KUBERNETES}", "other@acme-prod.iam.gserviceaccount.com"))
    assert cloud.setup(*OLDER).returncode == 1
    assert not any(is_change(call) for call in cloud.calls())


def test_without_a_service_account_in_the_cluster_the_annotation_fails_and_says_what_to_do_first(cloud: Cloud) -> None:
    cloud.becomes(broken(f"kubernetes|{KUBERNETES}", None))
    done = cloud.setup(*OLDER)
    assert done.returncode == 1
    assert "apply gate's manifests first" in sentence(done)
    assert cloud.setup(*DIRECT).returncode == 0


ACTING = (CLUSTER, PLATFORM, CONTEXT, ACCOUNT)
COMMANDS = {
    "projects describe": DIRECT,
    "container clusters describe": DIRECT,
    "container node-pools list": DIRECT,
    "services list": DIRECT,
    "services enable": DIRECT,
    "artifacts repositories describe": DIRECT,
    "artifacts repositories create": DIRECT,
    "artifacts repositories get-iam-policy": DIRECT,
    "artifacts repositories add-iam-policy-binding": DIRECT,
    "iam service-accounts create": ACTING,
    "iam service-accounts get-iam-policy": ACTING,
    "iam service-accounts add-iam-policy-binding": ACTING,
    "kubectl get serviceaccount": ACTING,
    "kubectl annotate serviceaccount": ACTING,
}


@pytest.mark.parametrize(("command", "arguments"), COMMANDS.items(), ids=COMMANDS)
def test_a_command_that_fails_is_the_last_one(cloud: Cloud, command: str, arguments: tuple[str, ...]) -> None:
    failing = command if command.startswith("kubectl") else f"gcloud {command}"
    cloud.becomes(fresh() | {"failing": [failing]})
    done = cloud.setup(*arguments)
    assert done.returncode == 1
    assert "PERMISSION_DENIED: as the test wants it" in done.stderr
    assert sentence(done).endswith("(the reason is above, and running this again is safe)")
    words = [word for word in cloud.calls()[-1] if not word.startswith("--")]
    assert " ".join(words).startswith(failing)


def test_a_service_account_that_cannot_be_seen_is_not_taken_for_one_that_is_there(cloud: Cloud) -> None:
    state = fresh() | {"failing": ["gcloud iam service-accounts describe"]}
    state["apis"]["acme-prod"].append("iam.googleapis.com")
    state["serviceAccounts"][EMAIL] = {"disabled": "True", "bindings": []}
    cloud.becomes(state)
    done = cloud.setup(*OLDER)
    assert "ALREADY_EXISTS" in done.stderr
    assert sentence(done).startswith(f"cannot create the service account {EMAIL}")


@pytest.mark.parametrize(("program", "arguments"), [("gcloud", (CLUSTER, PLATFORM)), ("kubectl", DIRECT)])
def test_an_absent_program_is_said_in_one_sentence(cloud: Cloud, program: str, arguments: tuple[str, ...]) -> None:
    (cloud.folder / "bin" / program).unlink()
    done = cloud.setup(*arguments)
    assert done.returncode == 1
    assert sentence(done).startswith(f"{program} is not on the PATH")
    assert cloud.calls() == []


# Arguments

_LONG = "a" * 300
REFUSED = {
    "nothing": (),
    "no cluster": (PLATFORM,),
    "no repository": (CLUSTER,),
    "two clusters": (CLUSTER, CLUSTER, PLATFORM),
    "two accounts": (CLUSTER, PLATFORM, ACCOUNT, ACCOUNT),
    "two contexts": (CLUSTER, PLATFORM, CONTEXT, CONTEXT),
    "same repository": (CLUSTER, PLATFORM, PLATFORM),
    "same repository, created": (CLUSTER, PLATFORM, PLATFORM.replace("--repo", "--create-repo")),
    "created, and the same": (CLUSTER, PLATFORM.replace("--repo", "--create-repo"), PLATFORM),
    "positional": (CLUSTER, PLATFORM, "more"),
    "empty": (CLUSTER, PLATFORM, ""),
    "unknown": (CLUSTER, PLATFORM, "--quiet"),
    "dry-run with a value": (CLUSTER, PLATFORM, "--dry-run=yes"),
    "value apart": ("--cluster", "acme-prod/us-central1/prod", PLATFORM),
    **{
        f"cluster {value!r:.40}": (f"--cluster={value}", PLATFORM)
        for value in (
            "",
            "prod",
            "acme-prod/prod",
            "acme-prod//prod",
            "/us-central1/prod",
            "acme-prod/us-central1/",
            "acme-prod/us-central1/prod/",
            "acme-prod/us-central1/prod/x",
            "acme/us-central1/prod",
            f"{_LONG}/us-central1/prod",
            f"acme-prod/{_LONG}/prod",
            f"acme-prod/us-central1/{_LONG}",
            "acme-prod/us-central1/-prod",
            "--project=x/us-central1/prod",
            "acme-prod/us-central1/prod\n--quiet",
            "acme-prod/us-central1/prod --quiet",
            "acme-prod/us-central1/*",
            "acme-prod/us-central1/$(touch pwned)",
            "acme-prod/us-central1/`touch pwned`",
            "acme-prod/us-central1/prod;touch pwned",
            "acme-prod/us-central1/prod'",
            'acme-prod/us-central1/prod"',
            "acme-prod/us-central1/pröd",
            "Acme-prod/us-central1/prod",
            "example.com:acme-prod/us-central1/prod",
        )
    },
    **{
        f"{option[2:]} {value!r:.40}": (CLUSTER, f"{option}={value}")
        for option in ("--repository", "--create-repository")
        for value in (
            "",
            "platform",
            "us/acme-config/platform",
            "us-docker.pkg.dev/acme-config",
            "us-docker.pkg.dev/acme-config/",
            "us-docker.pkg.dev/acme-config/platform/app",
            "us-docker.pkg.dev/acme-config/platform:v1",
            "https://us-docker.pkg.dev/acme-config/platform",
            "us.docker.pkg.dev/acme-config/platform",
            "-docker.pkg.dev/acme-config/platform",
            "docker.pkg.dev/acme-config/platform",
            "us-docker.pkg.dev.example.com/acme-config/platform",
            "us-docker.pkg.dev/acme-config/..",
            "us-docker.pkg.dev/acme-config/.platform",
            "us-docker.pkg.dev/acme-config/platform.",
            "us-docker.pkg.dev/acme-config/plat..form",
            "us-docker.pkg.dev/acme-config/--location=eu",
            "us-docker.pkg.dev/--project=x/platform",
            "us-docker.pkg.dev/acme-config/$(touch pwned)",
            "us-docker.pkg.dev/acme-config/$PROJECT_NUMBER",
            "us-docker.pkg.dev/acme-config/a b",
            "us-docker.pkg.dev/acme-config/a\nb",
            f"us-docker.pkg.dev/acme-config/{_LONG}",
            f"{_LONG}-docker.pkg.dev/acme-config/platform",
        )
    },
    **{
        f"account {value!r:.40}": (CLUSTER, PLATFORM, f"--service-account={value}")
        for value in (
            "",
            "gate-reader",
            "gate-reader@acme-prod",
            "gate@acme-prod.iam.gserviceaccount.com",
            "gate-reader@@acme-prod.iam.gserviceaccount.com",
            "gate-reader@acme-prod.iam.gserviceaccount.com.example.com",
            "gate-reader@.iam.gserviceaccount.com",
            "-gate-reader@acme-prod.iam.gserviceaccount.com",
            "gate-reader@acme-prod.iam.gserviceaccount.com\n",
            "user:gate-reader@acme-prod.iam.gserviceaccount.com",
            "$(touch pwned)@acme-prod.iam.gserviceaccount.com",
        )
    },
    **{
        f"context {value!r:.40}": (CLUSTER, PLATFORM, f"--context={value}")
        for value in ("", "-x", "--server=https://example.com", "a b", "a;touch pwned", "a\nb", "$(touch pwned)", "a'b")
    },
    **{
        f"node pool {value!r:.40}": (CLUSTER, PLATFORM, f"--node-pool={value}")
        for value in ("", "a b", "-a", "a-", "a*", "$(touch pwned)", _LONG)
    },
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_an_odd_argument_is_refused_before_anything_is_run(untouched: Cloud, arguments: tuple[str, ...]) -> None:
    done = untouched.setup(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence(done).endswith("; see --help")
    assert untouched.calls() == []
    assert not (untouched.folder / "pwned").exists()


@pytest.mark.parametrize("value", ["$(touch pwned)", "$PROJECT_NUMBER", "a;b", "a'b", "a\nb"])
def test_a_dry_run_refuses_as_well_and_prints_nothing(untouched: Cloud, value: str) -> None:
    done = untouched.setup("--dry-run", CLUSTER, f"{PLATFORM}{value}")
    assert (done.returncode, done.stdout) == (2, "")


def test_what_was_refused_is_shown_without_control_characters_and_not_at_any_length(cloud: Cloud) -> None:
    done = cloud.setup(CLUSTER, f"--repository=\x1b[31m\u202e{_LONG}\nsetup.sh: done")
    assert re.fullmatch(r"setup\.sh: --repository is not [ -~]{1,300}\n", done.stderr)
    assert "a" * 201 not in done.stderr


def test_help_names_every_option(cloud: Cloud) -> None:
    done = cloud.setup("--help")
    assert (done.returncode, done.stderr) == (0, "")
    options = set(re.findall(r"^ +(--[a-z-]+)=?\*?\)", SETUP.read_text(), re.MULTILINE)) - {"--help"}
    assert len(options) > 5
    assert options <= set(re.findall(r"^  (--[a-z-]+) ", done.stdout, re.MULTILINE))


def test_the_script_can_be_run_and_evaluates_no_text() -> None:
    text = SETUP.read_text()
    assert os.access(SETUP, os.X_OK)
    assert text.startswith("#!/bin/sh\n")
    assert not re.search(r"\beval\b|\bxargs\b|\bsh -c\b", text)


# The page


def test_every_run_on_the_page_is_accepted(cloud: Cloud) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (IAM / "README.md").read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    runs = [shlex.split(line)[1:] for line in lines if line.startswith("iam/setup.sh ")]
    assert len(runs) == 3
    for arguments in runs:
        assert cloud.setup("--dry-run", *arguments).returncode == 0


def test_every_image_on_the_page_and_in_the_script_is_in_the_example_location() -> None:
    texts = [each.read_text() for each in IAM.rglob("*") if each.is_file()]
    hosts = {host for text in texts for host in re.findall(r"\b[\w-]+-docker\.pkg\.dev", text)}
    assert hosts == {"us-docker.pkg.dev", "LOCATION-docker.pkg.dev", "location-docker.pkg.dev"}


# Config Connector

IAM_API = "iam.cnrm.cloud.google.com/v1beta1"
REPOSITORY_API = "artifactregistry.cnrm.cloud.google.com/v1beta1"
# Fields of spec that gate uses, as the custom resource definitions of Config Connector 1.118 and 1.140 have them.
FIELDS = {
    ("serviceusage.cnrm.cloud.google.com/v1beta1", "Service"): {"resourceID", "projectRef"},
    (IAM_API, "IAMPolicyMember"): {"member", "memberFrom", "role", "resourceRef"},
    (IAM_API, "IAMServiceAccount"): {"displayName"},
    (REPOSITORY_API, "ArtifactRegistryRepository"): {"resourceID", "location", "format"},
}
KINDS = {kind: version for version, kind in FIELDS}
FOLDERS = ("principal", "impersonation", "repository")


@cache
def connector(folder: str) -> tuple[Manifest, ...]:
    return render(IAM / "config-connector" / folder)


def members(objects: tuple[Manifest, ...]) -> list[Manifest]:
    return [each["spec"] for each in objects if each["kind"] == "IAMPolicyMember"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_resources_are_of_kinds_that_config_connector_has_with_fields_that_they_have(folder: str) -> None:
    objects = connector(folder)
    for each in objects:
        assert set(each["spec"]) <= FIELDS[each["apiVersion"], each["kind"]]
        assert set(each) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(each["metadata"]) <= {"name", "annotations"}
        assert re.fullmatch(r"gate-[a-z0-9-]{1,57}", each["metadata"]["name"])
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_reference_is_either_a_name_or_external_and_leads_somewhere(folder: str) -> None:
    objects = connector(folder)
    named = {(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects}
    for spec in members(objects):
        reference = spec["resourceRef"]
        assert KINDS[reference["kind"]] == reference["apiVersion"]
        assert ("name" in reference) != ("external" in reference)
        assert ("member" in spec) != ("memberFrom" in spec)
        if "name" in reference:
            assert (reference["apiVersion"], reference["kind"], reference["name"]) in named
        if "memberFrom" in spec:
            assert set(spec["memberFrom"]) == {"serviceAccountRef"}
            assert (IAM_API, "IAMServiceAccount", spec["memberFrom"]["serviceAccountRef"]["name"]) in named


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_not_a_grant_says_its_project_and_what_others_use_outlives_its_object(folder: str) -> None:
    for each in connector(folder):
        notes = each["metadata"].get("annotations", {})
        if each["kind"] == "Service":
            assert set(each["spec"]["projectRef"]) == {"external"}
        elif each["kind"] != "IAMPolicyMember":
            assert notes["cnrm.cloud.google.com/project-id"]
        if each["kind"] in {"Service", "ArtifactRegistryRepository"}:
            assert notes["cnrm.cloud.google.com/deletion-policy"] == "abandon"


@pytest.mark.parametrize(
    ("folder", "account"), [("principal", ()), ("impersonation", (ACCOUNT,))], ids=["direct", "older"]
)
def test_the_resources_come_to_what_the_script_does(cloud: Cloud, folder: str, account: tuple[str, ...]) -> None:
    assert cloud.setup(CLUSTER, PLATFORM, BUNDLES, *account).returncode == 0
    made, objects = cloud.state, connector(folder)
    apis = {(each["spec"]["projectRef"]["external"], each["spec"]["resourceID"]) for each in _services(objects)}
    enabled = {(project, api) for project, found in made["apis"].items() for api in found}
    assert apis == enabled - {("acme-prod", "container.googleapis.com")}
    grants = {(_target(spec), spec["role"], spec.get("member", f"serviceAccount:{EMAIL}")) for spec in members(objects)}
    assert grants == {
        (name, role, member)
        for kind in ("repositories", "serviceAccounts")
        for name, found in made[kind].items()
        for role, member, _ in found["bindings"]
    }


def test_an_overlay_sets_the_namespace_and_another_principal(tmp_path: Path) -> None:
    member = PRINCIPAL.replace("acme-prod", "other-prod")
    overlay = {
        "resources": [os.path.relpath(IAM / "config-connector" / "principal", tmp_path.resolve())],
        "namespace": "config-control",
        "patches": [
            {
                "target": {"kind": "IAMPolicyMember"},
                "patch": json.dumps([{"op": "replace", "path": "/spec/member", "value": member}]),
            }
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    objects = render(tmp_path)
    assert {each["metadata"]["namespace"] for each in objects} == {"config-control"}
    assert {spec["member"] for spec in members(objects)} == {member}


def test_the_patch_on_the_page_annotates_the_service_account_of_the_manifests(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (IAM / "README.md").read_text(), re.DOTALL)
    assert found is not None
    root = os.path.relpath(MANIFESTS, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{root}]\n{found[1]}")
    annotations = one(render(tmp_path), "ServiceAccount")["metadata"]["annotations"]
    assert annotations == {"iam.gke.io/gcp-service-account": EMAIL}


def _services(objects: tuple[Manifest, ...]) -> list[Manifest]:
    return [each for each in objects if each["kind"] == "Service"]


def _target(spec: Manifest) -> str:
    """Return what the grant is on, as the state names it."""
    if spec["resourceRef"]["kind"] == "IAMServiceAccount":
        return EMAIL
    found = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)", spec["resourceRef"]["external"])
    assert found is not None
    return "/".join(found.groups())


def test_the_service_account_resource_is_the_one_that_the_page_annotates() -> None:
    account = one(connector("impersonation"), "IAMServiceAccount")
    project = account["metadata"]["annotations"]["cnrm.cloud.google.com/project-id"]
    assert f"{account['metadata']['name']}@{project}.iam.gserviceaccount.com" == EMAIL
    assert f"iam.gke.io/gcp-service-account: {EMAIL}" in (IAM / "README.md").read_text()


def test_the_repository_resource_is_one_that_the_grants_are_on() -> None:
    repository = one(connector("repository"), "ArtifactRegistryRepository")
    project = repository["metadata"]["annotations"]["cnrm.cloud.google.com/project-id"]
    spec = repository["spec"]
    assert spec["format"] == "DOCKER"
    external = f"projects/{project}/locations/{spec['location']}/repositories/{spec['resourceID']}"
    assert external in {each["resourceRef"].get("external") for each in members(connector("principal"))}


def test_the_names_are_those_of_the_manifests() -> None:
    account = one(render(MANIFESTS), "ServiceAccount")["metadata"]
    assert f"ns/{account['namespace']}/sa/{account['name']}" == NAMES
    assert f"{account['namespace']}/{account['name']}" == KUBERNETES
