"""Strings from outside, made safe to print."""

from __future__ import annotations

import unicodedata

QUOTED_LIMIT = 200  # characters of one outside string in a message; enough to recognise it, too little to flood a log

# Cc control, Cf format (bidirectional marks, zero width), Cs surrogate, Zl and Zp line and paragraph separators,
# Co private use, Cn unassigned: none of them belongs on somebody's terminal.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def quote(text: str) -> str:
    """Return ``text`` in double quotes, unprintable and bidirectional characters escaped, cut at 200 characters."""
    cut = text[:QUOTED_LIMIT]
    # What Python calls printable is in none of the escaped categories (str.isprintable), which spares the long way.
    body = cut.replace("\\", "\\\\").replace('"', '\\"') if cut.isprintable() else "".join(map(_escape, cut))
    return f'"{body}"' + ("…" if len(text) > QUOTED_LIMIT else "")


def plain(text: str, most: int = QUOTED_LIMIT) -> str:
    """Return ``text`` as it is where it is one word of printable ASCII, not longer than ``most``, else quoted."""
    is_word = text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= most
    return text if is_word else quote(text)


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if unicodedata.category(char) in _ESCAPED_CATEGORIES:
        return char.encode("unicode_escape").decode("ascii")
    return char
