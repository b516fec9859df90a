"""The webhook of a server, everything it needs loaded and checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gate.compose import clock, places, policies
from gate.core.policy import Policy
from gate.fronts.review import Record, Reviewer
from gate.kube.api import in_cluster
from gate.kube.events import Events
from gate.registry.registries import Registries
from gate.registry.reload import RegistriesFile
from gate.registry.sources import Sources
from gate.service import Gate, KeptChecks
from gate.settings import Settings, kubernetes_environment
from gate.trust.reload import PolicySet

if TYPE_CHECKING:
    from flask import Flask

decisions = logging.getLogger("gate.decision")


def application(settings: Settings) -> Flask:
    """Return the webhook, everything it needs loaded and checked, or raise ConfigError. No thread is started."""
    from gate.fronts.webhook import create_app  # noqa: PLC0415 (the command line does without a web framework)

    policy_set = PolicySet(policies.loader(settings), policies.public_good_of(settings), time.monotonic)
    place = places.in_a_pod(places.pod_namespace())
    entries = places.entries_of(settings, places.CommandLine(frozenset()))
    registries = Registries(entries, Sources(settings, place).build, clock.surroundings())
    listed: RegistriesFile | None = None
    if settings.registries is not None:
        listed = RegistriesFile(settings.registries, entries, registries.update, time.monotonic)
    gate = Gate(places.OpenRegistries.over(registries, frozenset(), listed).source, clock.now, KeptChecks())

    def lapsed() -> str | None:
        return "; ".join(policy_set.policy().without_effect(clock.now())) or None

    details = [policy_set.trust_root, policy_set.problem, lapsed, *(() if listed is None else (listed.problem,))]
    answering = reviewer(gate, policy_set.policy)
    if settings.events:
        events = Events(in_cluster(kubernetes_environment()), time.monotonic, clock.now)
        answering, details = replace(answering, notify=events.offer), [*details, events.problem]
    return create_app(answering, time.monotonic, ready=lambda: None, details=details)


def reviewer(gate: Gate, policy: Callable[[], Policy]) -> Reviewer:
    """Return who answers reviews, each with one decision record in the log."""
    return Reviewer(gate, policy, _record)


def _record(record: Record) -> None:
    # "name" and "message" belong to logging itself, so the record travels as one field of the line.
    # The record is made here, because the logger would first look through the stack for who asked.
    if decisions.isEnabledFor(logging.INFO):
        made = decisions.makeRecord(
            decisions.name, logging.INFO, "", 0, "decision", (), None, extra={"decision": record}
        )
        decisions.handle(made)
