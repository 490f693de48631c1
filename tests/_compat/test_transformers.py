"""transformers' internals are as Plackett reads and replaces them; an upgrade that changes them fails here."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from transformers import TrainerCallback, TrainerState
from transformers.models.bert.modeling_bert import BertConfig, BertLayer
from transformers.trainer_callback import ExportableState

from plackett._compat import trainer as trainers
from plackett._compat import transformers as compat

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def test_the_release_of_the_development_environment_was_tried():
    pinned = re.search(r"^transformers==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in compat.TRIED
    assert transformers.__version__ in compat.TRIED


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_of_a_bert_layer_is_softmax_of_scaled_products(implementation):
    config = BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=8)
    config._attn_implementation = implementation
    attention = BertLayer(config).eval().attention.self
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 2, 5, 4, generator=generator) for _ in range(3))
    found = compat.attend(attention, query, key, value, None, dropout=0.0)
    weights = (query @ key.transpose(2, 3) / 2).softmax(-1)  # sizes of 4: a scale of 1 / sqrt(4)
    torch.testing.assert_close(found, (weights @ value).transpose(1, 2))


def test_a_replaced_forward_is_the_one_that_is_called():
    layer = torch.nn.Linear(2, 2)
    compat.replace_forward(layer, lambda module, rows: rows + module.out_features)
    assert torch.equal(layer(torch.zeros(2)), torch.full((2,), 2.0))


class Remembers(TrainerCallback, ExportableState):
    def state(self):
        return {"args": {"word": "plum"}, "attributes": {}}


def test_the_state_of_a_callback_is_read_from_the_file(tmp_path):
    state = TrainerState(stateful_callbacks=[Remembers()])
    state.save_to_json(str(tmp_path / "trainer_state.json"))
    saved = json.loads((tmp_path / "trainer_state.json").read_text())
    assert trainers.callback_state(saved, "Remembers") == {"word": "plum"}
    with pytest.raises(LookupError):
        trainers.callback_state(saved, "Another")


def test_weights_are_loaded_into_the_model_of_a_trainer(bert, tmp_path):
    from transformers import Trainer, TrainingArguments  # seconds

    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
    before = model.classifier.weight.detach().clone()
    model.save_pretrained(tmp_path / "checkpoint")
    with torch.no_grad():
        model.classifier.weight.add_(1)
    trainer = Trainer(model, TrainingArguments(str(tmp_path / "out"), report_to="none", use_cpu=True))
    trainers.load_weights(trainer, str(tmp_path / "checkpoint"))
    assert torch.equal(model.classifier.weight, before)


def test_known_loggers_are_named():
    assert {"tensorboard", "trackio", "wandb"} <= set(trainers.LOGGERS)
