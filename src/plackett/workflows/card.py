"""Write a checkpoint's model card again."""

from dataclasses import replace
from pathlib import Path

from plackett._arguments import checked
from plackett._files import whole_files
from plackett.checkpoints.own_files import CARD, TRAINING_PLOT
from plackett.cross_encoder import CrossEncoder
from plackett.publishing.card import write_card
from plackett.publishing.collect import check_local, described, known_facts, usage


@checked()
def card(folder: Path) -> Path:
    """Write a checkpoint's card and its picture again from its facts, and return the path of the card.

    A checkpoint without facts gets those that its files contain. If its activation or token limit has changed, the
    scores on the card are computed again.
    """
    check_local(folder, "card")
    now = described(folder)
    known = known_facts(folder)

    if (known.model.activation, known.model.max_length) != (now.model.activation, now.model.max_length):
        model = replace(known.model, activation=now.model.activation, max_length=now.model.max_length)
        shown = known.usage and usage(CrossEncoder(folder), known.usage.query, known.usage.documents)
        known = replace(known, model=model, usage=shown)

    with whole_files(folder) as beside:
        if known.training:
            from plackett.training.plot import plot_training  # matplotlib takes a second to import

            plot_training(known.training.log, beside / TRAINING_PLOT)
        write_card(beside, known)
    return folder / CARD
