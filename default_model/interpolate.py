"""Weights between a start and what was trained from it.

Weights that were trained from one point can be mixed, and the mixture often keeps what the start knew while it has most
of what the trainings taught: WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903), task vectors (Ilharco et al. 2023,
arXiv:2212.04089).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from plackett.checkpoints.own_files import WEIGHTS


def interpolate(start: Path, trained: Mapping[Path, float], target: Path) -> Path:
    """`target`, a copy of the first trained checkpoint with the start's weights and each training's share of change."""
    first = next(iter(trained))
    shutil.copytree(first, target, dirs_exist_ok=True)
    origin = load_file(start / WEIGHTS)
    mixed = {name: weight.clone() for name, weight in origin.items()}
    for folder, share in trained.items():
        for name, weight in load_file(folder / WEIGHTS).items():
            mixed[name] += share * (weight - origin[name])

    save_file(mixed, target / WEIGHTS, metadata={"format": "pt"})
    return target
