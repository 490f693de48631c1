"""Keys of `config.json` for releases before transformers 5, which do not read the new ones.

Version 5 stores the settings of rotary positions in `rope_parameters` (one set, or one per layer type) and the layer
types in `layer_types`. Version 4 has separate keys, and would otherwise use the defaults of its classes.
"""

from collections.abc import Mapping
from typing import Any

from plackett.checkpoints.inputs import SLIDING, of_text

FULL = "full_attention"
_ROTARY = ("rope_theta", "partial_rotary_factor")

# Family -> current key -> earlier key, if they differ.
_RENAMED = {
    "flaubert": {"pad_token_id": "pad_index"},
    "gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "qwen3_moe": {"num_local_experts": "num_experts"},
    "xlm": {"pad_token_id": "pad_index"},
}

# Family -> earlier keys for the base of each layer type.
_BASES = {
    "gemma3": {FULL: "rope_theta", SLIDING: "rope_local_base_freq"},
    "gemma3_text": {FULL: "rope_theta", SLIDING: "rope_local_base_freq"},
    "modernbert": {FULL: "global_rope_theta", SLIDING: "local_rope_theta"},
    "modernbert-decoder": {FULL: "global_rope_theta", SLIDING: "local_rope_theta"},
}


def older_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that transformers 4 reads for rotary positions and layer types, with the values for 5."""
    family, text = str(config.get("model_type", "")), of_text(config)
    rotary, step = text.get("rope_parameters"), _step(text.get("layer_types"))
    keys = {before: text[today] for today, before in _RENAMED.get(family, {}).items() if today in text}
    if step and family.startswith("modernbert"):
        keys["global_attn_every_n_layers"] = step
    if not isinstance(rotary, dict):
        return keys
    return keys | (_of_layers(family, rotary) if FULL in rotary else _of_all(family, rotary))


def _of_all(family: str, rotary: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _RENAMED.get(family, {})
    stated = {renamed.get(key, key): rotary[key] for key in _ROTARY if key in rotary}
    return stated | _scaling(rotary)


def _of_layers(family: str, rotary: Mapping[str, Any]) -> dict[str, Any]:
    keys = _BASES.get(family, {FULL: "rope_theta"})
    parts = {kind: part for kind in keys if isinstance(part := rotary.get(kind), dict) and "rope_theta" in part}
    return {keys[kind]: part["rope_theta"] for kind, part in parts.items()} | _scaling(rotary[FULL] or {})


def _scaling(rotary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scaling of the positions, if any."""
    if rotary.get("rope_type", "default") == "default":
        return {}
    return {"rope_scaling": {key: value for key, value in rotary.items() if key not in _ROTARY}}


def _step(kinds: Any) -> int | None:
    """Return N if every Nth layer from the first attends to all tokens; None for any other order."""
    if not isinstance(kinds, list) or not kinds or kinds[0] != FULL:
        return None
    step = kinds.index(FULL, 1) if FULL in kinds[1:] else len(kinds)
    regular = all((kind == FULL) == (layer % step == 0) for layer, kind in enumerate(kinds))
    return step if regular else None
