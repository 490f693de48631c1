"""A plugin for pytest: sentence-transformers' own tests of its CrossEncoder, run against Plackett's replacement of it.

`make st-tests` gets the tests and loads this. A tiny model takes the place of each model of the Hub that the tests name
and whose weights do not matter; a test of another model is skipped. `DIFFERENCES` lists the tests that fail on purpose.
If one of them passes, or another test fails, the run fails.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
import sentence_transformers.cross_encoder

from plackett import CrossEncoder
from plackett.integrations import sentence_transformers as replacement
from tiny import build

TINY = "cross-encoder-testing/reranker-bert-tiny-gooaq-bce"

# Model of the Hub -> (labels, activation) of the one in its place.
STAND_INS = {
    TINY: (1, "sigmoid"),
    f"{TINY}-tanh-v3": (1, "tanh"),
    f"{TINY}-tanh-v4": (1, "tanh"),
    "cross-encoder/nli-MiniLM2-L6-H768": (3, "identity"),
    "sentence-transformers-testing/stsb-bert-tiny-safetensors": (1, "sigmoid"),
}

BUILT = tempfile.TemporaryDirectory(prefix="plackett-stand-ins-")

# Reason, as in docs/sentence-transformers.md -> tests, with all their parameters or some.
DIFFERENCES = {
    "the model is not a torch module": [
        "test_classifier_dropout_is_set",
        "test_classifier_dropout_default_value",
        "test_load_with_revision",
        "test_predict_batch_size_1",
        "test_empty_predict[True-True]",
        "test_empty_predict[True-False]",
        "test_predict_routes_through_module_call",
        "test_device_switching",
        "test_target_device_backwards_compat",
    ],
    "no counterpart of `is_singular_input`": [
        "test_is_singular_input_numpy_1d_pair",
        "test_is_singular_input_numpy_2d_pairs",
        "test_is_singular_input_numpy_empty",
    ],
    "`modules` is not available": [
        "test_num_labels_from_dense_scores_module",
        "test_num_labels_ignores_dense_without_scores_output",
        "test_config_and_model_none_without_transformer",
        "test_default_activation_fn_without_transformer",
    ],
    "`push_to_hub` is not available: `plackett publish`": ["test_push_to_hub"],
    "`num_labels` must be the checkpoint's": [
        "test_load_activation_fn_from_kwargs[3-None-torch.nn.modules.linear.Identity]",
    ],
    "an activation that Plackett does not know is an error": ["test_load_activation_fn_from_config_custom"],
    "a chat template is the checkpoint's": [
        "test_replacing_a_rejected_chat_template_takes_effect",
        "test_preprocess_raises_on_non_text_pair_without_pair_roles",
        "test_predict_raises_on_chat_template_without_pair_roles",
        "test_predict_raises_on_mixed_batch_containing_a_pair",
        "test_predict_applies_chat_template_with_pair_roles",
        "test_predict_applies_chat_template_that_only_echoes_the_role",
        "test_message_input_with_a_single_pair_role_is_not_checked",
        "test_qwen3_reranker_with_chat_template",
        "test_qwen3_reranker_original_with_identity_activation",
        "test_qwen3_reranker_original_without_prompt",
    ],
    "other words of an error or a warning": ["test_rank_multiple_labels", "test_logger_warning"],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the listed tests to fail."""
    reasons = {test: reason for reason, tests in DIFFERENCES.items() for test in tests}
    for item in items:
        reason = reasons.get(item.name) or reasons.get(item.name.partition("[")[0])
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _stand_in(name: str, *_: Any, **__: Any) -> Path:
    if name not in STAND_INS:
        pytest.skip(f"needs the weights of {name}")
    return _built(*STAND_INS[name])


@functools.cache
def _built(labels: int, activation: str) -> Path:
    folder = Path(BUILT.name) / f"{labels}-{activation}"
    CrossEncoder(build(folder / "plain", "bert", labels), activation=activation).save_pretrained(folder / "model")
    return folder / "model"


# Done by the import of the plugin: the tests' conftest.py imports the class before pytest is configured.
for _module in (sentence_transformers, sentence_transformers.cross_encoder):
    _module.CrossEncoder = replacement.CrossEncoder  # type: ignore[attr-defined, misc, assignment]
replacement.download = _stand_in  # type: ignore[assignment]
