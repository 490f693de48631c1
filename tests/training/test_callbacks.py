"""What a training shows while it runs."""

import pytest
from transformers import TrainerState, TrainingArguments

from plackett.training.callbacks import next_event

MEASURED = {"eval_strategy": "steps", "eval_steps": 30}
SAVED = {"save_strategy": "steps", "save_steps": 20}


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ({}, 0, "the end at 100"),
        (MEASURED, 0, "measuring at 30"),
        (MEASURED, 30, "measuring at 60"),
        (MEASURED, 95, "the end at 100"),
        (
            MEASURED | SAVED,
            59,
            "measuring at 60",
        ),
        (MEASURED | SAVED, 30, "saving at 40"),
        ({"eval_strategy": "epoch"}, 10, "measuring at 50"),
        ({"save_strategy": "epoch"}, 50, "the end at 100"),
    ],
)
def test_the_next_event_is_named(tmp_path, settings, step, expected):
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, **{"save_strategy": "no"} | settings)
    state = TrainerState(max_steps=100, global_step=step, num_train_epochs=2)
    state.eval_steps, state.save_steps = settings.get("eval_steps"), settings.get("save_steps")
    assert next_event(arguments, state) == expected
