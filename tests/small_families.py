"""Small models of every family of sequence classifiers in transformers, with one tokenizer for all."""

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

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

# Settings of families whose parts depend on each other.
_LATENT = {
    **{"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "kv_lora_rank": 16, "q_lora_rank": 16},
    **{"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "head_dim": 8},
}
OWN_SETTINGS = {
    "axk1": {**_LATENT, "qk_head_dim": 16},
    "deepseek_v3": _LATENT,
    "falcon": {"head_dim": None},
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1, "num_hidden_layers": None, "d_head": 16, "n_head": 2},
    "luke": {"entity_vocab_size": 16},
    "roc_bert": {
        **{"pronunciation_vocab_size": 64, "shape_vocab_size": 64},
        **{"pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    },
}

_IMAGES = "reads images beside texts"
_BOXES = "reads the positions of words on a page"
_LARGE = "has parts that no setting makes small"
_LAYERS = "has kinds of layers that do not fit into two small ones"
LEFT_OUT = {
    "canine": "reads characters, with a tokenizer in Python",
    "cohere_compass_text": _LAYERS,
    "gemma3": _IMAGES,
    "jamba": _LAYERS,
    "layoutlmv2": _BOXES,
    "layoutlmv3": _BOXES,
    "lilt": _BOXES,
    "markuplm": "reads the paths of words in a page's markup",
    "mistral4": "does not run in small: its latent attention pads heads to one size",
    "modernvbert": _IMAGES,
    "perceiver": _LARGE,
    "qwen2": "transformers rebuilds its tokenizer as a byte-level one, whatever tokenizer.json says",
    "qwen3_5": _IMAGES,
    "t5": "fails in transformers without a start token of the decoder, which its class does not set",
    "t5gemma": "does not load in transformers what it saved",
    "t5gemma2": _LARGE,
    "ultravbert": _IMAGES,
    "zamba": _LAYERS,
    "zamba2": _LAYERS,
}
"""Families that are not compared, and why."""


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
    settings |= OWN_SETTINGS.get(family, {})
    config = CONFIG_MAPPING[family](**{key: value for key, value in settings.items() if value is not None})
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
