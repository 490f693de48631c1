"""Torch modules for training: sequence classifiers, their heads, LoRA, and attention for CPUs."""

import sys

from plackett.errors import SettingError

if sys.flags.optimize > 1:  # transformers reads docstrings when its models are imported
    raise SettingError(
        "transformers does not work without docstrings, which python -OO and PYTHONOPTIMIZE=2 remove; "
        "use -O or PYTHONOPTIMIZE=1, or a model for engine='onnx'"
    )
