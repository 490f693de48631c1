"""Comparison of two models, engines or servers on the same pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import COUNT, NOT_NEGATIVE, checked
from plackett._extras import extra, is_installed
from plackett._wording import counted
from plackett.checkpoints.exports import ENGINES
from plackett.checkpoints.readers import misread
from plackett.cross_encoder import CrossEncoder
from plackett.engines.loading import is_url
from plackett.errors import DataError, SettingError
from plackett.evaluation.agreement import TOP, Agreement, agreement
from plackett.records import Collection
from plackett.retrieval.reranking import Candidates
from plackett.tokenization.batches import EncodedPairs

MEASURE = f"nDCG@{TOP}"
MOST_TOKENISED = 100
"""Pairs whose tokens are compared with those of transformers."""

CHARACTERS, IDS = 90, 16  # shown of a text and of its token ids


@dataclass(frozen=True)
class PairDifference:
    """One pair, the logits of both sides, and the token ids of sides with a local tokenizer."""

    query: str
    document: str
    logits_a: tuple[float, ...]
    logits_b: tuple[float, ...]
    token_ids_a: tuple[int, ...] | None
    token_ids_b: tuple[int, ...] | None


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`.

    measured: nDCG@10 of both sides, if the pairs are judged.
    misread: folder of a side -> what other libraries read differently, one line each; empty if they agree.
    """

    a: str
    b: str
    data: str
    tolerance: float
    agreement: Agreement
    measured: tuple[float, float] | None
    worst: tuple[PairDifference, ...]
    misread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def within(self) -> bool:
        """Whether no logit differs by more than the tolerance."""
        return self.agreement.largest <= self.tolerance

    @property
    def holds(self) -> bool:
        """Whether A and B agree, and other libraries read their folders as Plackett does."""
        return self.within and not self.misread


def open_side(name: str) -> CrossEncoder:
    """Open a folder or Hub id, optionally with `@ENGINE`, `@ENGINE:PRECISION` or `@:PRECISION`, or an address."""
    model, at, how = name.rpartition("@")
    if not at or is_url(name) or Path(name).exists():
        return CrossEncoder(name)
    engine, _, precision = how.partition(":")
    return CrossEncoder(model, engine=engine or "auto", precision=precision or None)


@checked()
def verify(
    a: str,
    b: str,
    collection: Collection,
    *,
    depth: Annotated[int, COUNT] = 100,
    tolerance: Annotated[float, NOT_NEGATIVE] = 1e-4,
    show_progress: bool = False,
) -> Verification:
    """Compare the raw logits of `a` and `b`, names for `open_side`, on the top candidates of each query.

    Measuring judgements needs the extra `train`. Raises SettingError for sides with different labels, and DataError for
    a collection without texts.
    """
    sides = _open_sides(a, b)
    candidates = [Candidates.of(side, collection, depth) for side in sides]
    keys = [candidates[0].keys[index] for index in candidates[0].filled]
    if not keys:
        raise DataError(f"{collection.name} has no document with text to compare")

    logits = [
        side.score_encoded(of_side.encoded, show_progress=show_progress)
        for side, of_side in zip(sides, candidates, strict=True)
    ]
    found = agreement(logits[0], logits[1], [query for query, _ in keys])
    are_measured = collection.qrels and sides[0].model.ranks

    return Verification(
        a,
        b,
        collection.name,
        tolerance,
        agreement=found,
        measured=_measured(candidates, logits, collection) if are_measured else None,
        worst=_worst(
            sides,
            collection,
            [keys[index] for index in found.worst],
            [of_side[list(found.worst)] for of_side in logits],
        ),
        misread=_misread({a: sides[0], b: sides[1]}, collection, keys[:MOST_TOKENISED]),
    )


def _misread(
    sides: Mapping[str, CrossEncoder], collection: Collection, keys: Sequence[tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """Return what other libraries read differently, by folder; tokens are compared if transformers is installed."""
    checkpoints = [side.checkpoint for name, side in sides.items() if not is_url(name)]
    pairs = [(collection.queries[query], collection.corpus[document]) for query, document in keys]
    by_folder = {str(checkpoint.folder): checkpoint for checkpoint in checkpoints}
    found = {folder: misread(checkpoint) for folder, checkpoint in by_folder.items()}
    if all(map(is_installed, ENGINES["torch"].packages)):
        from plackett.models.tokens import misread_tokens

        for folder, checkpoint in by_folder.items():
            found[folder] += misread_tokens(checkpoint, pairs)
    return {folder: tuple(lines) for folder, lines in found.items() if lines}


def _worst(
    sides: Sequence[CrossEncoder],
    collection: Collection,
    keys: Sequence[tuple[str, str]],
    logits: Sequence[NDArray[np.float32]],
) -> tuple[PairDifference, ...]:
    texts = [(collection.queries[query], collection.corpus[document]) for query, document in keys]
    return tuple(
        _difference(sides, pair, of_pair) for pair, of_pair in zip(texts, zip(*logits, strict=True), strict=True)
    )


def _open_sides(a: str, b: str) -> list[CrossEncoder]:
    sides = [open_side(a), open_side(b)]
    of_a, of_b = (side.model.labels for side in sides)
    if of_a != of_b:
        raise SettingError(f"{a} has {of_a} labels and {b} has {of_b}: there is nothing to compare")
    return sides


def _measured(
    candidates: Sequence[Candidates], logits: Sequence[NDArray[np.float32]], collection: Collection
) -> tuple[float, float]:
    """Return nDCG@10 of both sides."""
    with extra("train"):
        from plackett.evaluation.measures import evaluate
    of_a, of_b = (
        evaluate(of_side.run(scores[:, 0]), collection.qrels, [MEASURE])[MEASURE]
        for of_side, scores in zip(candidates, logits, strict=True)
    )
    return of_a, of_b


def figures(verification: Verification) -> dict[str, Any]:
    """Return the report for JSON; None stands for values that could not be computed."""
    return asdict(verification) | {"within": verification.within}


def report(verification: Verification) -> str:
    """Return the report as text for a terminal."""
    found = verification.agreement
    lines = [
        f"A  {verification.a}",
        f"B  {verification.b}",
        f"{counted(found.pairs, 'pair')} of {counted(found.queries, 'query')}: {verification.data}",
        "",
        f"largest difference of a logit  {found.largest:.3g}",
        f"mean difference of a logit     {found.mean:.3g}",
        f"Kendall's τ                    {_share(found.tau, 'no query has two documents')}",
        f"top-{TOP} overlap                 {_share(found.overlap, f'no query has more than {TOP} documents')}",
    ]
    if verification.measured:
        of_a, of_b = verification.measured
        lines.append(f"{MEASURE}                        A {of_a:.4f}, B {of_b:.4f}: {of_b - of_a:+.4f}")
    if found.largest:
        lines += ["", "the worst pairs"]
        lines += [line for rank, pair in enumerate(verification.worst, start=1) for line in _pair_lines(rank, pair)]
    for folder, misread_there in verification.misread.items():
        lines += ["", f"other libraries read {folder} differently; save it again with Plackett"]
        lines += [f"   {line}" for line in misread_there]
    verdict = "A and B agree" if verification.within else "A AND B DISAGREE"
    return "\n".join([*lines, "", f"{verdict}: tolerance {verification.tolerance:g}"])


def _difference(
    sides: Sequence[CrossEncoder], texts: tuple[str, str], logits: Sequence[NDArray[np.float32]]
) -> PairDifference:
    [of_a, of_b], [ids_a, ids_b] = (tuple(row.tolist()) for row in logits), (_token_ids(side, texts) for side in sides)
    return PairDifference(*texts, of_a, of_b, ids_a, ids_b)


def _token_ids(side: CrossEncoder, texts: tuple[str, str]) -> tuple[int, ...] | None:
    rows = side.encode([texts]).rows
    return tuple(rows.token_ids.tolist()) if isinstance(rows, EncodedPairs) else None


def _pair_lines(rank: int, pair: PairDifference) -> list[str]:
    largest = max(abs(a - b) for a, b in zip(pair.logits_a, pair.logits_b, strict=True))
    of_a, of_b = (" ".join(f"{logit:.6f}" for logit in logits) for logits in (pair.logits_a, pair.logits_b))
    lines = [
        f"{rank}. {largest:.3g}: A {of_a}, B {of_b}",
        f"   query     {_cut(pair.query)}",
        f"   document  {_cut(pair.document)}",
    ]
    if pair.token_ids_a is not None and pair.token_ids_a == pair.token_ids_b:
        return [*lines, f"   tokens    {_ids(pair.token_ids_a)}, the same on both sides"]
    sides = (("A", pair.token_ids_a), ("B", pair.token_ids_b))
    return [*lines, *(f"   tokens {side}  {'at the server' if ids is None else _ids(ids)}" for side, ids in sides)]


def _share(value: float | None, reason: str) -> str:
    return f"none: {reason}, or there are several labels" if value is None else f"{value:.4f}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}… ({len(text)} characters)"


def _ids(ids: tuple[int, ...]) -> str:
    shown = " ".join(map(str, ids[:IDS]))
    return shown if len(ids) <= IDS else f"{shown} … ({len(ids)})"
