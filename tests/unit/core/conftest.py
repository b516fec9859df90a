"""Hypothesis without a deadline: how long one example takes depends on what else the machine does."""

from __future__ import annotations

from hypothesis import settings

# The parent keeps what Hypothesis itself chooses in CI: the same examples in every run.
settings.register_profile("no-deadline", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("no-deadline")
