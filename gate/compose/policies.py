"""Which policy is in force, and the trust roots that it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gate.compose import clock
from gate.core.deadline import Deadline
from gate.core.policy import Policy
from gate.registry.addresses import classify, for_operators_hosts
from gate.registry.transport import Transport, trusting
from gate.settings import Settings
from gate.trust.mounts import Mount, Mounted
from gate.trust.policyfile import load_key_policy
from gate.trust.policyfile import load_policy as load_policy_file
from gate.trust.publicgood import URL as SIGSTORE_URL
from gate.trust.publicgood import PublicGood, read_shipped
from gate.trust.reading import read_set
from gate.trust.roots import Roots


def load_policy(settings: Settings) -> Policy:
    """Return the policy that the settings name, or raise ConfigError; for a command, which needs it once.

    Sigstore's trust root is asked for first where the policy names it, at most once an hour.
    """
    good = public_good_of(settings)
    return read_set(loader(settings), cache(lambda: good().fresh())).policy()


def load_policy_offline(settings: Settings, mounts: tuple[Mount, ...] = ()) -> Policy:
    """Return the policy that the settings name, with the trust root that is at hand; ConfigError as load_policy().

    What the policy names below ``mounts`` is read from there.
    """
    good = public_good_of(settings)
    return read_set(loader(settings, mounts), lambda: good().current()).policy()


def loader(settings: Settings, mounts: tuple[Mount, ...] = ()) -> Callable[[Roots], Policy]:
    """Return what reads the policy that the settings name."""
    path = settings.policy
    if path is not None:
        return lambda roots: load_policy_file(path, Mounted(roots, mounts))
    return lambda roots: load_key_policy(settings.key, roots)


def public_good_of(settings: Settings) -> Callable[[], PublicGood]:
    """Return what gives Sigstore's trust root and library, made at the first question: most policies never ask."""

    @cache
    def public_good() -> PublicGood:
        from gate.trust.sigstore_bundle import SigstoreBundles  # noqa: PLC0415 (a key-only policy does without them)
        from gate.trust.tuf import TufClient  # noqa: PLC0415

        shipped = read_shipped()
        client = TufClient(settings.state_dir / "tuf", SIGSTORE_URL, shipped.tuf_root, _tuf_get())
        return PublicGood(client, shipped, SigstoreBundles, clock.times())

    return public_good


def _tuf_get() -> Callable[[str, int, Deadline], tuple[int, bytes]]:
    """Return what asks Sigstore's TUF repository: by TLS, which guards the question; what is answered is signed."""
    transport = Transport(trusting(), for_operators_hosts(classify))

    def get(url: str, limit: int, deadline: Deadline) -> tuple[int, bytes]:
        answer = transport.get(url, {}, limit, deadline)
        return answer.status, answer.body

    return get
