"""Code in a checkpoint's folder: listed, never run by default, run if the user says so."""

import hashlib
import json
import logging
import pathlib
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from plackett import CrossEncoder
from plackett.checkpoints.code import NATIVE
from plackett.checkpoints.folder import read_checkpoint
from plackett.errors import CheckpointError
from plackett.tokenization.tokenizer import PairTokenizer
from tiny import HIDDEN, PAIRS, POSITIONS, build

CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .pooling import mean


class OwnConfig(PretrainedConfig):
    model_type = "own-reranker"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.score = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask):
        return SequenceClassifierOutput(logits=self.score(mean(self.words(input_ids), attention_mask)))
"""
POOLING = """
def mean(rows, mask):
    return (rows * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
"""
MAP = {"AutoConfig": "modeling.OwnConfig", "AutoModelForSequenceClassification": "modeling.OwnModel"}


def change(path: pathlib.Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def own(bert, tmp_path):
    """A classifier that only its code can build: the mean of the embeddings, and a linear layer."""
    folder = tmp_path / "own"
    shutil.copytree(bert, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "modeling.py").write_text(CODE)
    (folder / "pooling.py").write_text(POOLING)
    vocabulary = json.loads((bert / "config.json").read_text())["vocab_size"]
    torch.manual_seed(3)
    weights = {
        "words.weight": torch.randn(vocabulary, 8),
        "score.weight": torch.randn(1, 8),
        "score.bias": torch.ones(1),
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = {"architectures": ["OwnForSequenceClassification"], "model_type": "own-reranker", "hidden_size": 8}
    config = {"vocab_size": vocabulary, "num_labels": 1, "max_position_embeddings": 96, "auto_map": MAP, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_code_is_listed_and_not_run(own):
    with pytest.raises(CheckpointError) as caught:
        CrossEncoder(own)
    for name, text in (("modeling.py", CODE), ("pooling.py", POOLING)):
        assert f"{name} (sha256 {hashlib.sha256(text.encode()).hexdigest()})" in str(caught.value)
    assert "--trust-remote-code" in str(caught.value)


def test_code_that_defines_no_reranker_is_not_advised_to_be_trusted(own):
    change(own / "config.json", auto_map={"AutoModelForCausalLM": "modeling.Own", "AutoConfig": "modeling.OwnConfig"})
    with pytest.raises(CheckpointError) as caught:
        CrossEncoder(own)
    assert "AutoModelForSequenceClassification" in str(caught.value)
    assert "--trust-remote-code" not in str(caught.value)


def test_trusted_code_scores_as_it_says(own, caplog):
    with caplog.at_level(logging.WARNING, "plackett"):
        model = CrossEncoder(own, trust_remote_code=True, device="cpu")
    assert hashlib.sha256(CODE.encode()).hexdigest() in caplog.text

    weights = load_file(own / "model.safetensors")
    encoded = PairTokenizer.from_checkpoint(read_checkpoint(own, trust_remote_code=True)).encode(PAIRS)
    rows = zip(encoded.cu_seqlens, encoded.cu_seqlens[1:], strict=False)
    means = torch.stack([weights["words.weight"][encoded.token_ids[start:end]].mean(0) for start, end in rows])
    expected = means @ weights["score.weight"].T + weights["score.bias"]
    np.testing.assert_allclose(model.score(PAIRS), expected, atol=1e-4)


def test_the_digest_changes_with_the_code(own):
    before = CrossEncoder(own, trust_remote_code=True).fingerprint()
    with (own / "pooling.py").open("a") as stream:
        stream.write("# changed\n")
    assert CrossEncoder(own, trust_remote_code=True).fingerprint() != before


def test_commands_trust_code_when_told(run, own):
    arguments = ("rank", "words", "sort words", "a file", "--model", own)
    code, _, errors = run(*arguments)
    assert (code, "sha256" in errors) == (2, True)
    code, output, _ = run(*arguments, "--trust-remote-code")
    assert (code, len(output.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    ("auto_map", "word"),
    [
        ({**MAP, "AutoModelForSequenceClassification": "org/other--modeling.OwnModel"}, "org/other"),
        ({"AutoConfig": "modeling.OwnConfig"}, "AutoModelForSequenceClassification"),
        ({**MAP, "AutoModelForSequenceClassification": "absent.OwnModel"}, "absent"),
    ],
)
def test_code_that_is_not_all_in_the_folder(own, auto_map, word):
    change(own / "config.json", auto_map=auto_map)
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(own, trust_remote_code=True)


def test_code_of_the_hub_is_downloaded_by_its_user_first(own, tmp_path):
    cached = tmp_path / "models--org--own" / "snapshots" / ("a" * 40)
    shutil.copytree(own, cached)
    with pytest.raises(CheckpointError, match="hf download org/own --local-dir"):
        CrossEncoder(cached, trust_remote_code=True)


def test_a_tokenizer_of_code_is_refused(own):
    change(own / "tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling.Own", None]})
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        CrossEncoder(own, trust_remote_code=True)


def test_trust_changes_nothing_where_there_is_no_code(bert):
    np.testing.assert_array_equal(
        CrossEncoder(bert, trust_remote_code=True).predict(PAIRS), CrossEncoder(bert).predict(PAIRS)
    )


@pytest.mark.parametrize("family", NATIVE)
def test_native_classes_are_those_of_transformers(family):
    names = transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    assert NATIVE[family] == names[family]


def native(folder: pathlib.Path, family: str, **settings: object) -> pathlib.Path:
    """A tiny classifier of a family, with the tokenizer of another, saved by transformers."""
    build(folder, "bert", 1)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=vocabulary,
        num_labels=1,
        max_position_embeddings=POSITIONS,
        pad_token_id=0,
        **HIDDEN,
        **settings,
    )
    torch.manual_seed(5)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.3) if weights.dim() > 1 else None
    model.save_pretrained(folder)
    return folder


def test_code_of_a_family_that_transformers_has_is_not_needed(tmp_path):
    folder = native(tmp_path / "m", "eurobert", bos_token_id=2, eos_token_id=3)
    expected = CrossEncoder(folder).score(PAIRS)
    code = {"AutoModelForSequenceClassification": "modeling_eurobert.EuroBertForSequenceClassification"}
    change(folder / "config.json", auto_map=code)
    np.testing.assert_array_equal(CrossEncoder(folder).score(PAIRS), expected)
    change(folder / "config.json", architectures=["OwnEuroBertForSequenceClassification"])
    with pytest.raises(CheckpointError, match="auto_map"):
        CrossEncoder(folder)


JOINED = {"attention.qkv_proj": "self_attn.{q,k,v}_proj", "mlp.up_gate_proj": "mlp.{up,gate}_proj"}
RENAMED = {
    "gte.layers.": "new.encoder.layer.",
    "gte.": "new.",
    "self_attn.o_proj": "attention.o_proj",
    "post_attention_layernorm": "attn_ln",
    "post_mlp_layernorm": "mlp_ln",
}


def as_new(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a `gte` under the names of the type `new`, which keeps some projections in one matrix."""
    found = dict(weights)
    for joined, parts in JOINED.items():
        before, names, after = parts.replace("}", "{").split("{")
        first, *others = names.split(",")
        for name in [name for name in weights if f"{before}{first}{after}" in name]:
            rest = [found.pop(name.replace(f"{before}{first}{after}", f"{before}{other}{after}")) for other in others]
            found[name.replace(f"{before}{first}{after}", joined)] = torch.cat([found.pop(name), *rest])
    for now, then in RENAMED.items():
        found = {name.replace(now, then): tensor for name, tensor in found.items()}
    return found


@pytest.mark.parametrize("scaling", [None, {"type": "ntk", "factor": 8.0}])
def test_the_type_new_is_the_family_gte(tmp_path, monkeypatch, scaling):
    """Its code divides (base * s) to the power -2 i / d by s to the power 2 / d (kexue.fm/archives/9706)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = native(tmp_path / "m", "gte", rope_parameters={"rope_type": "default", "rope_theta": 20000.0})
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    width, factor = HIDDEN["hidden_size"] // HIDDEN["num_attention_heads"], scaling["factor"] if scaling else 1
    steps = torch.arange(0, width, 2) / width
    model.gte.rotary_emb.inv_freq.copy_((20000.0 * factor) ** -steps / factor ** (2 / width))

    save_file(as_new(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    code = {"AutoModelForSequenceClassification": "org/new-impl--modeling.NewForSequenceClassification"}
    before = {"model_type": "new", "architectures": ["NewForSequenceClassification"], "auto_map": code}
    own = {"rope_theta": 20000.0, "rope_scaling": scaling, "position_embedding_type": "rope"}
    (folder / "config.json").write_text(json.dumps({**config, **before, **own}))

    encoder = CrossEncoder(folder)
    encoded = PairTokenizer.from_checkpoint(encoder.checkpoint).encode(PAIRS)
    with torch.inference_mode():
        expected = [
            model(input_ids=torch.from_numpy(encoded.token_ids[None, start:end])).logits[0].numpy()
            for start, end in zip(encoded.cu_seqlens, encoded.cu_seqlens[1:], strict=False)
        ]
    np.testing.assert_allclose(encoder.score(PAIRS), expected, atol=1e-4)


@pytest.mark.parametrize("values", [{"logn_attention_scale": True}, {"rope_scaling": {"type": "yarn", "factor": 2}}])
def test_what_gte_does_not_compute_is_refused(tmp_path, monkeypatch, values):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = build(tmp_path / "m", "bert", 1)
    change(folder / "config.json", model_type="new", architectures=["NewForSequenceClassification"], **values)
    with pytest.raises(CheckpointError, match=next(iter(values))):
        CrossEncoder(folder)
