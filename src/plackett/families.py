"""What differs between families of encoders, by the `model_type` of their configuration."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Family:
    """One family.

    token_types: whether its tokenizer hands token types to the model.
    positions_behind_padding: whether positions count from behind the padding id, which takes room from them.
    first_token_head: whether its layers are BERT's own, and its head reads the first token only.
    activation: the function between the two linear layers of its head, where Plackett computes the head itself.
    """

    token_types: bool = True
    positions_behind_padding: bool = False
    first_token_head: bool = False
    activation: str = ""


_BERT = Family(first_token_head=True, activation="tanh")
_ROBERTA = replace(_BERT, token_types=False, positions_behind_padding=True)

FAMILIES = {
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": Family(token_types=False, activation="relu"),
    "electra": replace(_BERT, activation="gelu"),
    "modernbert": Family(token_types=False),
    "mpnet": Family(token_types=False),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": Family(token_types=False, positions_behind_padding=True),
}


def family_of(model_type: str) -> Family:
    """Return the family of a configuration; families that are not in the table have none of these peculiarities."""
    return FAMILIES.get(model_type, Family())
