"""Models published with code before transformers supported their family: the same weights under transformers' name.

gte-multilingual-reranker-base has the type `new`, whose code became transformers' family `gte`. transformers renames
the weights when it loads them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plackett.checkpoints.conversions.folders import link_files, replace_json
from plackett.checkpoints.heads import architectures_of
from plackett.checkpoints.jsons import read_json, read_optional
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError

_BEFORE, _NOW = "NewForSequenceClassification", "GteForSequenceClassification"

# Settings with other values make the code of `new` compute what the family `gte` does not.
_FIXED = {"position_embedding_type": "rope", "layer_norm_type": "layer_norm", "logn_attention_scale": False}


def fits(folder: Path) -> bool:
    """Whether a folder contains a classifier of the type `new`."""
    config = read_optional(folder / CONFIG)
    return config.get("model_type") == "new" and _BEFORE in architectures_of(config)


def convert(inputs: list[Path], target: Path) -> None:
    """Write the configuration of the family `gte` beside links to everything else."""
    [folder] = inputs
    config = read_json(folder / CONFIG)
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"{folder / CONFIG} sets {key} to {config[key]!r}; Plackett supports {value!r}")
    link_files(folder, target)
    kept = {key: value for key, value in config.items() if key not in {"auto_map", "rope_theta", "rope_scaling"}}
    replace_json(
        target / CONFIG,
        {**kept, "model_type": "gte", "architectures": [_NOW], "rope_parameters": _rotary(folder, config)},
    )


def _rotary(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the frequencies of rotary positions in transformers' terms.

    The code's "ntk" multiplies the base by the factor s and divides the frequencies by s^(2 / width of a head), as
    described in https://kexue.fm/archives/9706.
    """
    base, scaling = float(config.get("rope_theta", 10000.0)), config.get("rope_scaling")
    if not scaling:
        return {"rope_type": "default", "rope_theta": base}
    if not isinstance(scaling, dict) or scaling.get("type") != "ntk" or scaling.get("mixed_b") is not None:
        raise CheckpointError(f"{folder / CONFIG} sets rope_scaling to {scaling!r}; Plackett supports the type 'ntk'")
    factor, width = float(scaling["factor"]), config["hidden_size"] // config["num_attention_heads"]
    return {"rope_type": "linear", "rope_theta": base * factor, "factor": factor ** (2 / width)}
