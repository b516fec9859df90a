"""A leaf is in a log's tree when its path leads to the very root that the log signed, and never otherwise."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import limits
from gate.core.checkpoints import InclusionProof, verify_inclusion
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import PublicKey
from gate.core.reasons import Reason
from gate.core.trust import Window
from tests.fakes.sigstore import NOW, Rekor
from tests.fakes.sigstore.merkle import audit_path, leaf_hash, tree_hash

LOG, OTHER = Rekor.v1("rekor.here", Window(NOW)), Rekor.v1("rekor.there", Window(NOW))
LEAVES = [b"leaf %d" % number for number in range(7)]


def prove(leaves: list[bytes], index: int) -> InclusionProof:
    return replace(LOG, leaves=leaves).prove(index)


LEAF, PROOF = LEAVES[4], prove(LEAVES, 4)
ROOT = base64.b64encode(PROOF.root).decode()
TEXT = f"log.example - 1\n7\n{ROOT}\n"
OURS, WITNESS = LOG.note_line(TEXT), OTHER.note_line(TEXT, name="witness.example/w1")


def verify(proof: InclusionProof, leaf: bytes = LEAF, log: Rekor = LOG) -> None:
    verify_inclusion(leaf, proof, log.trusted, PublicKey.verify)


def refusal(proof: InclusionProof, leaf: bytes = LEAF, log: Rekor = LOG) -> str:
    with pytest.raises(UntrustedError) as caught:
        verify(proof, leaf, log)
    assert caught.value.reason is Reason.LOG_ENTRY
    return caught.value.message


def malformed(proof: InclusionProof) -> str:
    with pytest.raises(MalformedError) as caught:
        verify(proof)
    return caught.value.message


def with_checkpoint(checkpoint: str) -> InclusionProof:
    return replace(PROOF, checkpoint=checkpoint)


trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@given(trees, st.data())
@settings(deadline=None, max_examples=60)
def test_every_leaf_of_every_tree_proves(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    verify(prove(leaves, index), leaves[index])


@given(st.sets(st.binary(max_size=8), min_size=1, max_size=40), st.data())
@settings(deadline=None, max_examples=150)
def test_nothing_that_was_altered_proves(unique: set[bytes], data: st.DataObject) -> None:
    """The checkpoint is signed anew for what is claimed: it is the path alone that refuses."""
    leaves = sorted(unique)
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = tree_hash(leaves), audit_path(index, leaves)
    number = data.draw(st.integers(0, max(len(path) - 1, 0)))
    changed = {
        "index": InclusionProof(
            data.draw(st.integers(-3, 80).filter(lambda n: n != index)), len(leaves), root, path, ""
        ),
        "hash": InclusionProof(index, len(leaves), root, (*path[:number], b"\x00" * 32, *path[number + 1 :]), ""),
        "missing": InclusionProof(index, len(leaves), root, path[:-1], ""),
        "more": InclusionProof(index, len(leaves), root, (*path, b"\x00" * 32), ""),
        "root": InclusionProof(index, len(leaves), b"\x00" * 32, path, ""),
        "none": InclusionProof(index, len(leaves), root, (), ""),
    }
    if not path:
        del changed["missing"], changed["none"]
    chosen = changed[data.draw(st.sampled_from(sorted(changed)))]
    signed = replace(chosen, checkpoint=LOG.checkpoint(size=chosen.size, root=chosen.root))
    refusal(signed, leaves[index])


@given(st.sets(st.binary(max_size=8), min_size=1, max_size=40), st.data())
@settings(deadline=None, max_examples=60)
def test_no_leaf_proves_another(unique: set[bytes], data: st.DataObject) -> None:
    leaves = sorted(unique)
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.binary(max_size=8).filter(lambda leaf: leaf != leaves[index]))
    refusal(prove(leaves, index), other)


def test_a_tree_of_one_leaf_needs_no_path() -> None:
    verify(prove([LEAF], 0))


def test_an_inner_node_is_no_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    root = hashlib.sha256(b"\x01" + left + right).digest()
    claimed = InclusionProof(0, 1, root, (), LOG.checkpoint(size=1, root=root))
    assert refusal(claimed, left + right) == "the inclusion proof of the log entry does not lead to its root"


@pytest.mark.parametrize(("index", "size"), [(7, 7), (8, 7), (-1, 7), (0, 0)])
def test_a_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    claimed = replace(PROOF, index=index, size=size, checkpoint=LOG.checkpoint(size=size, root=PROOF.root))
    assert refusal(claimed) == "the inclusion proof is about a leaf beyond the end of its tree"


@pytest.mark.parametrize("hashes", [PROOF.hashes[:-1], (*PROOF.hashes, b"\x00" * 32), ()])
def test_a_path_of_another_length_is_refused(hashes: tuple[bytes, ...]) -> None:
    assert refusal(replace(PROOF, hashes=hashes)) == "the inclusion proof of the log entry has the wrong length"


def test_a_path_of_another_length_is_refused_even_if_it_leads_to_the_root() -> None:
    """A subtree's root, claimed to be the root of a tree with more levels."""
    claimed = InclusionProof(0, 4, leaf_hash(LEAF), (), LOG.checkpoint(size=4, root=leaf_hash(LEAF)))
    assert refusal(claimed) == "the inclusion proof of the log entry has the wrong length"


NOT_SIGNED = "the checkpoint of the log entry is not signed by its log"
NOT_ITS_LOGS = "the checkpoint of the log entry carries a signature that is not its log's"
NOT_ITS_TREE = "the checkpoint of the log entry is not of the tree of its proof"


@pytest.mark.parametrize(
    "text",
    [
        f"log.example - 1\n8\n{ROOT}\n",
        f"log.example - 1\n07\n{ROOT}\n",
        f"log.example - 1\n7\n{base64.b64encode(tree_hash(LEAVES[:6])).decode()}\n",
        f"log.example - 1\n7\n{PROOF.root.hex()}\n",
        f"7\n{ROOT}\n",
        "log.example - 1\n7\n",
        "log.example - 1\n",
        f"log.example - 1\n{ROOT}\n7\n",
    ],
    ids=["size", "zero before size", "root", "hex", "no origin", "no root", "only origin", "order"],
)
def test_a_checkpoint_of_anything_but_the_proofs_tree_is_refused_though_the_log_signed_it(text: str) -> None:
    assert refusal(with_checkpoint(f"{text}\n{LOG.note_line(text)}")) == NOT_ITS_TREE


def test_a_genuine_checkpoint_of_an_earlier_tree_is_refused() -> None:
    assert refusal(with_checkpoint(prove(LEAVES[:6], 4).checkpoint)) == NOT_ITS_TREE


def test_a_checkpoint_with_an_empty_origin_is_refused_though_the_log_signed_it() -> None:
    text = f"\n7\n{ROOT}\n"
    checkpoint = f"{text}\n{LOG.note_line(text)}"
    assert malformed(with_checkpoint(checkpoint)) == "the checkpoint of the log entry does not begin with its origin"


def test_lines_after_the_root_are_signed_with_it() -> None:
    verify(with_checkpoint(LOG.checkpoint(size=7, root=PROOF.root, other_lines="Timestamp: 1689177396617352539\n")))
    altered = LOG.checkpoint(size=7, root=PROOF.root, other_lines="Timestamp: 1\n").replace(": 1", ": 2")
    assert refusal(with_checkpoint(altered)) == NOT_ITS_LOGS


@pytest.mark.parametrize(
    "lines",
    [
        OURS,
        WITNESS + OURS,
        OURS + WITNESS,
        OURS + WITNESS.replace("w1", "w2") + WITNESS,
        OURS + WITNESS.replace("witness.example/w1", "log.example"),
        WITNESS.replace("witness.example/w1", "log.example") + OURS,
        OURS + OURS,
    ],
    ids=["alone", "second", "first", "of three", "same name after", "same name before", "twice"],
)
def test_a_log_signs_among_others(lines: str) -> None:
    verify(with_checkpoint(f"{TEXT}\n{lines}"))


def test_a_checkpoint_that_only_others_signed_is_refused() -> None:
    assert refusal(with_checkpoint(f"{TEXT}\n{WITNESS}")) == NOT_SIGNED


def test_a_signature_of_the_log_under_another_hint_does_not_count() -> None:
    line = LOG.note_line(TEXT, hint=OTHER.log_id[:4])
    assert refusal(with_checkpoint(f"{TEXT}\n{line}")) == NOT_SIGNED


def test_a_signature_of_another_under_the_logs_hint_does_not_count() -> None:
    line = LOG.note_line(TEXT, key=OTHER.key)
    assert refusal(with_checkpoint(f"{TEXT}\n{line}")) == NOT_ITS_LOGS


def test_the_first_line_with_the_logs_hint_decides() -> None:
    forged = LOG.note_line(TEXT, key=OTHER.key)
    verify(with_checkpoint(f"{TEXT}\n{OURS}{forged}"))
    assert refusal(with_checkpoint(f"{TEXT}\n{forged}{OURS}")) == NOT_ITS_LOGS


def test_a_signature_over_another_note_does_not_count() -> None:
    line = LOG.note_line("log.example - 1\n7\nanother\n")
    assert refusal(with_checkpoint(f"{TEXT}\n{line}")) == NOT_ITS_LOGS


@pytest.mark.parametrize("checkpoint", [TEXT, f"{TEXT}\n", f"{TEXT}\n{OURS[:-1]}", f"{TEXT}{OURS}"])
def test_a_note_without_a_whole_signature_line_is_malformed(checkpoint: str) -> None:
    message = "the checkpoint of the log entry does not end with a line that is a signature"
    assert malformed(with_checkpoint(checkpoint)) == message


@pytest.mark.parametrize(
    "line",
    [
        "\n",
        "- log.example AAAAAAAA\n",
        "\u2014 AAAAAAAA\n",
        "\u2014  AAAAAAAA\n",
        "\u2014 a name AAAAAAAA\n",
        "\u2014 log.example AAAAAAAA \n",
        " \u2014 log.example AAAAAAAA\n",
    ],
)
def test_a_line_that_is_no_signature_makes_the_note_malformed_beside_a_good_one(line: str) -> None:
    message = "a line in the checkpoint of the log entry is not a signature"
    for lines in (OURS + line, line + OURS):
        assert malformed(with_checkpoint(f"{TEXT}\n{lines}")) == message


def test_a_signature_that_is_not_base64_makes_the_note_malformed() -> None:
    message = "a signature in the checkpoint of the log entry is not base64"
    assert malformed(with_checkpoint(f"{TEXT}\n{OURS}\u2014 witness.example AAA!AAAA\n")) == message


def test_a_checkpoint_of_64_kib_is_read_and_one_byte_more_is_not() -> None:
    room = limits.CHECKPOINT_BYTES - len(f"{TEXT}\n{OURS}".encode())

    def padded(count: int) -> str:
        line = "\u2014 w AAAAAAAA\n"
        whole, rest = divmod(count, len(line.encode()))
        return f"{TEXT}\n{OURS}{line * (whole - 1)}\u2014 {'w' * (rest + 1 + len(line.encode()))} AAAAAAAA\n"

    fits = padded(room - len("\u2014 w AAAAAAAA\n".encode()))
    assert len(fits.encode()) == limits.CHECKPOINT_BYTES
    verify(with_checkpoint(fits))
    message = "the checkpoint of the log entry has more than 65536 bytes"
    assert malformed(with_checkpoint(fits.replace("www", "wwww", 1))) == message


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda tail: f"{TEXT}\n{tail}"))
@settings(deadline=None)
def test_no_checkpoint_that_somebody_made_up_proves(checkpoint: str) -> None:
    with pytest.raises((MalformedError, UntrustedError)):
        verify(with_checkpoint(checkpoint))
