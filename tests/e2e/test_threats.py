"""The ways around a gate that are known of Config Sync, attacked by number on a real API server.

Each attack is made twice: where gate holds, and where the one check that closes it is off. There it must succeed, or
it would say nothing about the check. ATTACKS is the list: number and attack, the reason that gate gives, and what is
off in the second run. docs/threats.md is the same list for those who do not read Python.

tests/unit/fronts/test_threats.py has the same numbers for what a review alone decides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import attacks
from tests.e2e.arena import (
    CHANGES,
    CHARTS,
    IMAGES,
    LABELLED,
    LENIENT,
    NEWER,
    PINNED,
    RECONCILERS,
    STRICT,
    UNSIGNED,
    UPDATES,
    Arena,
    Guard,
    guards,
    staged,
    unasked,
)
from tests.e2e.cluster import Cluster
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.images import Repository
from tests.e2e.kubeapi import Answer, must
from tests.e2e.reconciler import Reconciler
from tests.e2e.syncs import oci
from tests.e2e.test_admission import assert_denied, reason
from tests.e2e.toolbox import CHECKOUT
from tests.e2e.webhook import GateServer
from tests.e2e.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attacker does; its last answer is an admission where it succeeds."""

    strike: Callable[[Arena, str], Answer]
    reason: str  # of gate's denial
    without: str  # the stage in which the check that stops it is off
    holds: str = STRICT  # the stage in which gate stops it


ATTACKS = {
    "1: a new object brings the annotation along": Attack(attacks.bring_the_annotation_along, "no-signature", UPDATES),
    "2: an object is older than the webhook": Attack(attacks.be_there_before_the_webhook, "no-signature", CHANGES),
    # No setting lets a copy pass: that it is refused for its digest alone is in test_admission.py.
    "3: a signature is copied from another image": Attack(
        attacks.copy_a_signature_from_another_image, "untrusted", UNSIGNED
    ),
    "4: a signed image is written over an unsigned one": Attack(
        attacks.write_a_signed_image_over_an_unsigned_one, "no-signature", UNSIGNED
    ),
    "5: an unsigned image is written by hand": Attack(
        attacks.write_an_unsigned_image_by_hand, "no-signature", UNSIGNED
    ),
    "6: the image changes and the claim does not": Attack(
        attacks.change_the_image_under_the_annotation, "no-signature", UNSIGNED
    ),
    "7: a reconciler fetches what it does not claim": Attack(
        attacks.make_the_reconciler_fetch_what_it_does_not_claim, "no-signature", UNSIGNED
    ),
    "7: a reconciler syncs another signed image": Attack(
        attacks.make_the_reconciler_sync_another_signed_image, "source-mismatch", RECONCILERS
    ),
    "8: the source is switched to git": Attack(attacks.switch_to_git, "source-denied", LENIENT),
    "8: the source is switched to a web chart": Attack(attacks.switch_to_a_web_chart, "source-denied", LENIENT),
    "9: a chart is named by its version": Attack(attacks.name_a_chart_by_its_version, "helm-oci", CHARTS),
    "10: an image that was withdrawn is put back": Attack(attacks.put_a_withdrawn_image_back, "static-fail", LENIENT),
    "10: the key signed it for another repository": Attack(
        attacks.sync_what_the_same_key_signed_for_somebody_else, "no-rule", LENIENT
    ),
    "11: a key was revoked after the sync": Attack(attacks.keep_what_a_revoked_key_signed, "untrusted", CHANGES),
    "13: a synced source declares an unsigned object": Attack(
        attacks.declare_an_unsigned_object_in_a_synced_source, "no-signature", RECONCILERS
    ),
    "14: the older version of the API is used": Attack(attacks.use_the_older_version_of_the_api, "no-signature", NEWER),
    "15: labels ask for an exemption": Attack(attacks.ask_for_an_exemption_with_a_label, "no-signature", LABELLED),
    "17: a dry run was admitted": Attack(attacks.have_a_dry_run_approved, "no-signature", UNSIGNED),
    "20: a tag is fetched before anybody is asked": Attack(
        attacks.name_a_tag, "digest-required", without=STRICT, holds=PINNED
    ),
    "24: an object says nothing of what it syncs": Attack(attacks.leave_out_what_is_synced, "malformed", IMAGES),
}

# The attacks that other tests of this suite make, and what shows there that they succeed where the check is off.
ELSEWHERE = {
    12: (
        "test_ways_in.py::test_what_is_written_through_the_status_changes_neither_source_nor_claim",
        "test_ways_in.py::test_what_is_written_through_the_status_changes_neither_source_nor_claim",
    ),
    18: (
        "test_outage.py::test_an_rsync_is_deleted_with_its_finalizer_while_gate_is_down",
        "test_outage.py::test_a_deletion_hangs_while_gate_is_down_where_the_webhook_has_no_match_condition",
    ),
    21: (
        "test_companion.py::test_a_shell_in_rendering_is_neither_created_nor_switched_on",
        "test_companion.py::enforced",
    ),
    22: (
        "test_companion_gate.py::test_config_sync_neither_edits_nor_deletes_the_webhook_nor_makes_another_of_its_name",
        "test_companion_gate.py::reconciler",
    ),
}
# What no cluster without Config Sync can show: its own webhook has no say in gate's (16) and it syncs the very digest
# that it claims (19); whoever changes workloads or reconcilers directly is held off by RBAC, as docs/companion.md says
# (23).
NOT_HERE = {16, 19, 23}


@pytest.fixture(scope="module")
def withdrawn(olareg: str, release: KeyPair) -> str:
    """Return an image that the key signed, by its digest."""
    repository = Repository(olareg, "acme/withdrawn")
    image = f"{repository}@{repository.push()}"
    SIGNERS[0].sign(image, release)
    return image


@pytest.fixture(scope="module")
def running(folder: Path, olareg: str, release: KeyPair, withdrawn: str) -> Iterator[dict[str, Guard]]:
    """Return the gates that have a policy of their own."""
    with guards(folder, release, olareg, withdrawn.partition("@")[2]) as started:
        yield started


@pytest.fixture(scope="module")
def older(cluster: Cluster, gate: GateServer, olareg: str) -> dict[str, Reconciler]:
    """Return the reconciler of an object of each kind, which synced an unsigned image before anybody was asked."""
    bench, reconcilers = Workbench(cluster), {}
    with unasked(cluster, gate):
        for kind in ("RootSync", "RepoSync"):
            repository, sync = bench.repository(olareg), bench.sync(kind)
            repository.push("latest")
            must(cluster.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest"))))
            reconcilers[kind] = bench.reconciler(sync)
            must(reconcilers[kind].poll())
    return reconcilers


@pytest.fixture(scope="module")
def arena(
    *,
    request: pytest.FixtureRequest,
    cluster: Cluster,
    gate: GateServer,
    olareg: str,
    release: KeyPair,
    stranger: KeyPair,
    withdrawn: str,
    older: dict[str, Reconciler],
    running: dict[str, Guard],
) -> Iterator[Arena]:
    """Return the cluster in the stage that is asked for."""
    guard = running.get(request.param, running[STRICT])
    made = Arena(Workbench(cluster), olareg, release, stranger, withdrawn, older, guard)
    with staged(made, request.param, gate):
        yield made


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
@pytest.mark.parametrize(
    ("arena", "attack"), [(each.holds, name) for name, each in ATTACKS.items()], indirect=["arena"], ids=ATTACKS
)
def test_an_attack_is_stopped(attack: str, kind: str, arena: Arena) -> None:
    answer = ATTACKS[attack].strike(arena, kind)
    assert_denied(answer)
    assert reason(arena.guard.server) == ATTACKS[attack].reason


@pytest.mark.parametrize(
    ("arena", "attack"), [(each.without, name) for name, each in ATTACKS.items()], indirect=["arena"], ids=ATTACKS
)
def test_an_attack_succeeds_where_the_check_that_stops_it_is_switched_off(attack: str, arena: Arena) -> None:
    must(ATTACKS[attack].strike(arena, "RootSync"))


def test_every_number_is_attacked_here_or_in_a_test_that_exists() -> None:
    here = {int(name.partition(":")[0]) for name in ATTACKS}
    assert here.isdisjoint(ELSEWHERE)
    assert here | set(ELSEWHERE) | NOT_HERE == set(range(1, 25))
    for place in itertools.chain.from_iterable(ELSEWHERE.values()):
        file, _, name = place.partition("::")
        assert f"def {name}(" in (CHECKOUT / "tests" / "e2e" / file).read_text()


def test_the_page_on_threats_lists_each_attack_with_its_test_and_what_is_off_in_the_second_run() -> None:
    page = (CHECKOUT / "docs" / "threats.md").read_text()
    for name, attack in ATTACKS.items():
        number, _, what = name.partition(": ")
        assert f"| {number} | {what} | `{attack.reason}` | {attack.without} |\n" in page
    for number, (test, _) in ELSEWHERE.items():
        assert re.search(rf"^\| {number} \| .* \| `{re.escape(test)}` \|$", page, re.MULTILINE)
    for number in NOT_HERE:
        assert re.search(rf"^\| {number} \| ", page, re.MULTILINE)
