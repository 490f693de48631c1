"""Interpolate between the weights of a start and of trainings from it.

Weights that were trained from one point can be mixed. The mixture often keeps the abilities of the start and adds
most of what the trainings taught: WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903), task vectors (Ilharco et al. 2023,
arXiv:2212.04089).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from plackett.checkpoints.own_files import WEIGHTS


def interpolate(start: Path, trained: Mapping[Path, float], target: Path) -> Path:
    """Write `target`: the start's weights plus a share of each training's change, with the first training's files."""
    first = next(iter(trained))
    shutil.copytree(first, target, dirs_exist_ok=True)
    origin = load_file(start / WEIGHTS)
    mixed = {name: weight.clone() for name, weight in origin.items()}
    for folder, share in trained.items():
        for name, weight in load_file(folder / WEIGHTS).items():
            mixed[name] += share * (weight - origin[name])

    save_file(mixed, target / WEIGHTS, metadata={"format": "pt"})
    return target
