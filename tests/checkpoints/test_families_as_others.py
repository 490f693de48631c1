"""Tiny models of every family, as sentence-transformers scores them: read as they are, and written by Plackett."""

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as MAPPED

from peers import sentence_transformers
from plackett import CrossEncoder
from plackett.families import FAMILIES

LIMIT = 40
WORDS = """hens lay eggs in a nest an egg has about 72 calories how many are there dog cat runs sleeps list""".split()  # noqa: SIM905
PAIRS = [
    ("how many calories in an egg", "hens lay eggs in a nest"),
    ("egg", "an egg has about 72 calories"),
    ("how many calories", " ".join(WORDS * 6)),
]

_SIZES_OF_32 = (
    *("hidden_size", "d_model", "dim", "hidden_dim", "n_embd", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "emb_dim"),
    *("intermediate_size", "embedding_size", "ffn_dim", "word_embed_proj_dim", "d_inner", "dff", "embed_dim"),
    *("true_hidden_size", "intra_bottleneck_size", "input_embedding_size", "output_embedding_size", "ffn_hidden_size"),
)
_TWO = (
    *(
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "encoder_layers",
        "decoder_layers",
        "num_layers",
        "n_head",
        "n_heads",
    ),
    *("num_attention_heads", "num_key_value_heads", "encoder_attention_heads", "decoder_attention_heads", "num_heads"),
    *("num_experts_per_tok", "linear_num_value_heads", "linear_num_key_heads"),
)
_SIXTEEN = (
    *("head_dim", "d_kv", "moe_intermediate_size", "shared_expert_intermediate_size", "linear_key_head_dim"),
    *("linear_value_head_dim", "query_pre_attn_scalar", "entity_emb_size"),
)
SIZES = {
    **dict.fromkeys(_SIZES_OF_32, 32),
    **dict.fromkeys(_TWO, 2),
    **dict.fromkeys(_SIXTEEN, 16),
    "num_experts": 4,
    "num_local_experts": 4,
    "rotary_dim": 8,
    "attention_window": 8,
    "attention_types": [[["global", "local"], 1]],
    "languages": ["en_XX"],
    "default_language": "en_XX",
    "axial_pos_shape": [8, 8],
    "axial_pos_embds_dim": [16, 16],
    "attn_layers": ["local", "lsh"],
}

# Families that need more than text, do not build small, or do not run in transformers itself.
LEFT_OUT = {
    *("axk1", "axk2", "canine", "cohere_compass_text", "deepseek_v3", "esmc", "falcon", "funnel", "gemma3", "jamba"),
    *("layoutlmv2", "layoutlmv3", "lilt", "luke", "markuplm", "mistral4", "modernvbert", "perceiver", "qwen3_5"),
    "qwen2",  # transformers rebuilds its tokenizer as a byte-level one, whatever tokenizer.json says
    *("roc_bert", "t5gemma", "t5gemma2", "tapas", "ultravbert", "zamba", "zamba2", "t5"),
}
COMMON = ("albert", "bert", "gpt2", "mpnet", "nystromformer", "qwen3", "roberta", "xlnet")


def make_tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(
        models.WordPiece({token: number for number, token in enumerate([*special, *WORDS])}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        model_max_length=LIMIT - 8,
    )


def build(folder, family):
    base = CONFIG_MAPPING[family]()
    settings = {key: value for key, value in SIZES.items() if hasattr(base, key)}
    if hasattr(base, "layer_types"):
        settings["layer_types"] = ["full_attention", "full_attention"]
    key = FAMILIES[family].positions_key
    if hasattr(base, key) and getattr(base, key) != -1:
        settings[key] = 64 if family == "reformer" else LIMIT
    ids = {"pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3, "bos_token_id": 2, "cls_token_id": 2}
    settings |= ids | {"vocab_size": 64, "num_labels": 1}
    config = CONFIG_MAPPING[family](**settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def logits_of(folder, pairs):
    theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
    return np.array([theirs.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in pairs])


@pytest.mark.peer
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in COMMON else pytest.mark.slow)
        for family in sorted(set(MAPPED) - LEFT_OUT)
    ],
)
def test_scores_are_those_of_sentence_transformers(family, tmp_path):
    """Pair by pair: in batches of several, some families' scores move with the padding there, and never here."""
    build(tmp_path / "read", family)
    ours = CrossEncoder(tmp_path / "read")
    expected = logits_of(tmp_path / "read", PAIRS)
    np.testing.assert_allclose(ours.score(PAIRS)[:, 0], expected, rtol=5e-5, atol=2e-5)
    alone = [ours.score([pair])[0, 0] for pair in PAIRS]
    np.testing.assert_allclose(alone, expected, rtol=5e-5, atol=2e-5)

    ours.save_pretrained(tmp_path / "written")
    np.testing.assert_allclose(logits_of(tmp_path / "written", PAIRS), expected, rtol=5e-5, atol=2e-5)
    np.testing.assert_allclose(CrossEncoder(tmp_path / "written").score(PAIRS)[:, 0], expected, rtol=5e-5, atol=2e-5)
