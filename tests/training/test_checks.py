"""A recipe's values are checked before anything is loaded, each mistake named by its key."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import TrainingArguments

from plackett.errors import SettingError
from plackett.records import LabeledList
from plackett.training.checks import BOUNDS, CHOICES, ELSEWHERE, check_training
from plackett.training.recipe import make_recipe
from plackett.training.sampling import Part

NAN, INF = math.nan, math.inf

WRONG_TRAINING = [
    ("learning_rate", NAN),
    ("learning_rate", -1),
    ("learning_rate", INF),
    ("learning_rate", "fast"),
    ("per_device_train_batch_size", 0),
    ("per_device_train_batch_size", -1),
    ("per_device_train_batch_size", 1.5),
    ("per_device_train_batch_size", True),
    ("per_device_train_batch_size", 10**20),
    ("gradient_accumulation_steps", 0),
    ("seed", -1),
    ("seed", 1.5),
    ("seed", 10**20),
    ("seed", None),
    ("warmup_steps", NAN),
    ("warmup_steps", -0.1),
    ("num_train_epochs", NAN),
    ("num_train_epochs", 0),
    ("num_train_epochs", INF),
    ("max_steps", -2),
    ("max_steps", 2.5),
    ("dataloader_num_workers", -1),
    ("dataloader_num_workers", 10**6),
    ("dataloader_prefetch_factor", 2),
    ("adam_beta1", 1.5),
    ("weight_decay", NAN),
    ("max_grad_norm", -1),
    ("logging_steps", 0),
    ("logging_steps", 2.5),
    ("eval_steps", NAN),
    ("eval_steps", "often"),
    ("save_total_limit", 0),
    ("save_strategy", "best"),
    ("save_strategy", "sometimes"),
    ("push_to_hub", True),
    ("resume_from_checkpoint", "here"),
    ("lr_scheduler_type", "liner"),
    ("log_level", "loud"),
    ("report_to", 3),
    ("report_to", ["tensorbord"]),
    ("run_name", 7),
    ("fsdp_config", 7),
    ("bf16", "no"),
]


@pytest.mark.parametrize(("key", "value"), WRONG_TRAINING, ids=str)
def test_a_training_argument_that_does_not_fit_is_named(key, value):
    with pytest.raises(SettingError, match=key):
        make_recipe({"base": "b", "train": "x", "output": "o", "training": {key: value}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("list_size", True),
        ("list_size", "16"),
        ("list_size", 10**20),
        ("layers", True),
        ("layers", 1.0),
        ("max_length", 0),
        ("max_length", 1.5),
        ("token_budget", 10**20),
        ("depth", 0),
        ("depth", NAN),
        ("dropout", NAN),
        ("dropout", True),
        ("dropout", 1),
        ("streaming", "yes"),
        ("allow_pickle", 1),
        ("train", {"x": INF}),
        ("train", {"x": NAN}),
        ("train", {"x": 1e9}),
        ("train", {"x": 0}),
        ("train", {}),
        ("train", []),
        ("train", [1]),
        ("base", ""),
        ("output", 2024),
        ("output", ""),
        ("measures", [""]),
        ("description", True),
        ("loss", ["p_list_mle"]),
        ("loss", "p_listmle"),
        ("loss", {"name": "list_net", "temperature": "hot"}),
        ("loss", {"name": "list_net", "temperature": NAN}),
        ("loss", {"name": "rank_net", "cutoff": 2.5}),
        ("loss", {"name": "p_list_mle", "normalise": "no"}),
        ("loss", {"name": "p_list_mle", "weight": 3}),
        ("loss", {"name": "list_mle", "respect_input_order": "no"}),
    ],
    ids=str,
)
def test_a_recipe_value_that_does_not_fit_is_named(key, value):
    named = list(value)[-1] if isinstance(value, dict) and key == "loss" else key
    with pytest.raises(SettingError, match=named):
        make_recipe({"base": "b", "train": "x", "output": "o", key: value})


def test_a_number_for_a_text_tells_to_quote_it():
    with pytest.raises(SettingError, match='"2024"'):
        make_recipe({"base": "b", "train": "x", "output": 2024})


def test_a_folder_of_checkpoints_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="output_dir"):
        check_training({"output_dir": str(tmp_path / "file")})


def test_a_share_from_python_is_checked_too():
    for share in (0, -1, NAN, INF, 1e9):
        with pytest.raises(SettingError, match="share"):
            Part([LabeledList("q", ("a",), (1.0,))], share)


def test_the_tables_name_training_arguments():
    assert {*BOUNDS, *CHOICES, *ELSEWHERE} <= TrainingArguments.__dataclass_fields__.keys()


def test_every_default_of_transformers_passes():
    fields = TrainingArguments.__dataclass_fields__.values()
    plain = {field.name: field.default for field in fields if isinstance(field.default, bool | int | float | str)}
    check_training(plain | {"save_strategy": "no"})


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([1])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BOUNDS)), ANYTHING, max_size=3))
def test_whatever_is_accepted_transformers_accepts(values):
    """The other errors are ours: nothing of transformers comes through."""
    try:
        check_training(values)
    except SettingError:
        return
    TrainingArguments(output_dir="unused", report_to="none", use_cpu=True, **values)
