"""A Sigstore in memory for tests: it signs any case on demand, and what no honest one would.

``Sigstore.create()`` has a certificate authority, a CT log, Rekor v1 and v2 and a timestamp authority, all with keys
and windows of their own. ``sign()`` returns a ``Made``: its parts, and those of a log entry, are changed with
dataclasses.replace(), and ``push()`` stores it beside an image.
"""

from tests.fakes.sigstore.authority import ISSUER, SUBJECT, Authority
from tests.fakes.sigstore.box import NOW, Sigstore, usual_body
from tests.fakes.sigstore.ctlog import CtLog
from tests.fakes.sigstore.made import Holder, Layout, Made
from tests.fakes.sigstore.rekor import Rekor
from tests.fakes.sigstore.tsa import TimestampAuthority

__all__ = [
    "ISSUER",
    "NOW",
    "SUBJECT",
    "Authority",
    "CtLog",
    "Holder",
    "Layout",
    "Made",
    "Rekor",
    "Sigstore",
    "TimestampAuthority",
    "usual_body",
]
