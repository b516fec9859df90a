"""How many vouch: each authority for a signer of its own, and each signer for one authority."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gate.core.verdict import Signer


def match_distinct(accepted: Mapping[str, Sequence[Signer]], first: Iterable[str] = ()) -> tuple[Signer, ...]:
    """Return a largest set of signers in which every authority and every identity occurs at most once.

    ``accepted`` maps an authority's name to whom it accepted. Bipartite matching by augmenting paths: one identity that
    two authorities accept counts once, and is given to the one that has nobody else. Of the authorities in ``first``
    as many as possible are served before any other, and whoever is served once remains so.
    """
    held: dict[str, Signer] = {}  # identity -> the signer that is counted for it

    def assign(authority: str, visited: set[str]) -> bool:
        for signer in accepted[authority]:
            if signer.identity in visited:
                continue
            visited.add(signer.identity)
            holder = held.get(signer.identity)
            if holder is None or assign(holder.authority, visited):
                held[signer.identity] = signer
                return True
        return False

    for authority in dict.fromkeys((*first, *accepted)):
        assign(authority, set())
    order = list(accepted)
    return tuple(sorted(held.values(), key=lambda signer: order.index(signer.authority)))
