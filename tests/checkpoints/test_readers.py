"""What other libraries would read otherwise: each reading beside theirs, and nothing in what Plackett writes."""

import json
import shutil

import numpy as np
import pytest

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder
from plackett.checkpoints.folder import read_checkpoint
from plackett.checkpoints.readers import misread
from plackett.evaluation.probes import probes
from plackett.models.tokens import misread_tokens
from plackett.publishing.card import write_card
from plackett.publishing.collect import described
from plackett.publishing.publish import publish
from plackett.workflows.verify import verify
from small_families import build
from tiny import FAMILIES, PAIRS

IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.fixture
def folder(bert, tmp_path):
    """A folder that Plackett wrote, with a card."""
    CrossEncoder(bert).save_pretrained(tmp_path / "m")
    write_card(tmp_path / "m", described(tmp_path / "m"))
    return tmp_path / "m"


def change(path, without=(), **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in without} | values))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_in_what_plackett_writes_is_misread(tiny, tmp_path, family):
    CrossEncoder(tiny(family)).save_pretrained(tmp_path / "m")
    checkpoint = read_checkpoint(tmp_path / "m")
    assert misread(checkpoint) == []
    assert misread_tokens(checkpoint, PAIRS) == []


MISREAD = {
    "token types of a generic class": (
        "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "without": ("model_input_names",)},
        "token types",
    ),
    "no token limit": ("tokenizer_config.json", {"without": ("model_max_length",)}, None),
    "the other side of padding": ("tokenizer_config.json", {"padding_side": "left"}, "pad on the left"),
    "an activation in one place": ("config.json", {"sentence_transformers": {"activation_fn": IDENTITY}}, None),
    "a class of transformers 5": ("tokenizer_config.json", {"tokenizer_class": "TokenizersBackend"}, "Tokenizers"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISREAD)
def test_a_folder_that_others_read_otherwise_is_caught(folder, name):
    file, values, found = MISREAD[name]
    change(folder / file, **values)
    lines = misread(read_checkpoint(folder))
    assert bool(lines) == (found is not None), lines
    if found is None:
        return

    assert any(found in line for line in lines)
    done = verify(str(folder), str(folder), probes())
    assert done.within
    assert not done.holds
    assert list(done.misread) == [str(folder)]
    with pytest.raises(CheckpointError, match=found):
        publish(folder, "org/name", dry_run=True)


def test_two_activations_in_a_chain_are_caught(folder):
    """sentence-transformers 5.4 and later reads the one beside modules.json, earlier releases the other."""
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module]))
    assert misread(read_checkpoint(folder)) == []
    change(folder / "config.json", sentence_transformers={"activation_fn": IDENTITY})
    [line] = misread(read_checkpoint(folder))
    assert "identity" in line
    assert "sigmoid" in line


def test_positions_that_begin_behind_the_padding_are_caught_without_a_limit(tiny, tmp_path):
    """Measured: sentence-transformers reads as many tokens as there are positions, and fails at the last two."""
    shutil.copytree(tiny("roberta"), tmp_path / "m")
    change(tmp_path / "m" / "tokenizer_config.json", without=("model_max_length",))
    lines = misread(read_checkpoint(tmp_path / "m"))
    assert [("98" in line, "96" in line) for line in lines] == [(True, True)] * 2


def test_rotary_positions_that_transformers_4_does_not_see_are_caught_and_spelled_out(tiny, tmp_path):
    folder = shutil.copytree(tiny("modernbert"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"]["full_attention"]["rope_theta"] = 77.0
    change(folder / "config.json", **config)
    assert any("global_rope_theta" in line for line in misread(read_checkpoint(folder)))

    CrossEncoder(folder).save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert (written["global_rope_theta"], written["global_attn_every_n_layers"]) == (77.0, 2)
    assert misread(read_checkpoint(tmp_path / "again")) == []


@pytest.mark.parametrize("family", ["doge", "gemma2"])
def test_attention_that_transformers_4_computes_otherwise_is_told(tmp_path, family):
    """By sdpa, 4.57.6 scores one text 1.3613 (gemma2) and -0.96 (doge), and by eager 1.3609 and -1.27, as 5 does."""
    build(tmp_path / "m", family)
    CrossEncoder(tmp_path / "m").save_pretrained(tmp_path / "again")
    [line] = misread(read_checkpoint(tmp_path / "again"))
    assert "eager" in line


@pytest.mark.peer
def test_tokens_that_transformers_rebuilds_are_caught(tiny, tmp_path):
    """Its class for DeBERTa lowercases by default never, whatever tokenizer.json does."""
    folder = shutil.copytree(tiny("deberta-v2"), tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    change(folder / "tokenizer_config.json", without=("do_lower_case",), tokenizer_class="DebertaV2Tokenizer")
    theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
    differ = np.abs(theirs.predict(PAIRS) - CrossEncoder(folder).predict(PAIRS)).max() > 1e-3
    assert differ
    assert len(misread_tokens(read_checkpoint(folder), PAIRS)) == 1
