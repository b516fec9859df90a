"""Composition: the only place that picks implementations, reads the clock and draws random numbers."""

from gate.compose.clock import deadline, now
from gate.compose.commands import Audit, Kubeconfig, open_audit, open_gate, open_layout, open_registry, open_rehearsal
from gate.compose.places import CommandLine
from gate.compose.policies import load_policy, load_policy_offline
from gate.compose.webhook import application, reviewer

__all__ = [
    "Audit",
    "CommandLine",
    "Kubeconfig",
    "application",
    "deadline",
    "load_policy",
    "load_policy_offline",
    "now",
    "open_audit",
    "open_gate",
    "open_layout",
    "open_registry",
    "open_rehearsal",
    "reviewer",
]
