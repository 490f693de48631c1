"""Differences between families of encoders and decoders, by the `model_type` of their configuration.

The defaults are those of transformers' configuration classes, for keys that a `config.json` leaves out. They are copied
here because the bare install has no transformers; a test compares them with its classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """One family.

    takes_types: whether its models read token types.
    takes_mask: whether its models take an attention mask in every release of transformers.
    types: default of `type_vocab_size`; None if its configuration has no such key.
    gives_types: whether the family's own tokenizer class returns token types.
    positions: default of the position limit; None for families without one.
    positions_key: the limit's name in `config.json`.
    behind_padding: whether positions start after the padding id, which reduces the limit.
    fixed_padding: the padding id that positions start after, if the model's code fixes it.
    vocabulary: default of `vocab_size`.
    pad_id: default of `pad_token_id`.
    padding: the side that batches are padded on; "none" if padding on either side changes scores.
    first_token_head: whether its layers are BERT's own, and its head reads the first token only.
    activation: the function between the two linear layers of its head, if Plackett computes the head itself.
    aliases: the family's names of keys in `config.json` -> their usual names.
    """

    takes_types: bool = False
    takes_mask: bool = True
    types: int | None = None
    gives_types: bool = False
    positions: int | None = None
    positions_key: str = "max_position_embeddings"
    behind_padding: bool = False
    fixed_padding: int | None = None
    vocabulary: int | None = None
    pad_id: int | None = None
    padding: str = "right"
    first_token_head: bool = False
    activation: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict, compare=False)


FAMILIES = {
    "albert": Family(takes_types=True, types=2, positions=512, vocabulary=30000, pad_id=0),
    "arcee": Family(positions=4096, vocabulary=32000),
    "axk1": Family(positions=32768, vocabulary=163840),
    "axk2": Family(positions=131072, vocabulary=163840),
    "bart": Family(positions=1024, vocabulary=50265, pad_id=1),
    "bert": Family(
        takes_types=True,
        types=2,
        gives_types=True,
        positions=512,
        vocabulary=30522,
        pad_id=0,
        first_token_head=True,
        activation="tanh",
    ),
    "big_bird": Family(takes_types=True, types=2, positions=4096, vocabulary=50358, pad_id=0),
    "bigbird_pegasus": Family(positions=4096, vocabulary=96103, pad_id=0),
    "biogpt": Family(positions=1024, vocabulary=42384, pad_id=1),
    "bloom": Family(vocabulary=250880),
    "camembert": Family(
        takes_types=True,
        types=2,
        positions=512,
        behind_padding=True,
        vocabulary=30522,
        pad_id=1,
        first_token_head=True,
        activation="tanh",
    ),
    "canine": Family(takes_types=True, types=16, gives_types=True, positions=16384, pad_id=0),
    "cohere_compass_text": Family(positions=8192, vocabulary=256000, pad_id=0),
    "convbert": Family(
        takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=1, padding="none"
    ),
    "ctrl": Family(takes_types=True, positions=256, positions_key="n_positions", vocabulary=246534),
    "data2vec-text": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=30522, pad_id=1),
    "deberta": Family(takes_types=True, types=0, gives_types=True, positions=512, vocabulary=50265, pad_id=0),
    "deberta-v2": Family(takes_types=True, types=0, gives_types=True, positions=512, vocabulary=128100, pad_id=0),
    "deepseek_v2": Family(positions=2048, vocabulary=102400),
    "deepseek_v3": Family(positions=4096, vocabulary=129280),
    "diffllama": Family(positions=2048, vocabulary=32000),
    "distilbert": Family(positions=512, vocabulary=30522, pad_id=0, activation="relu"),
    "doge": Family(positions=2048, vocabulary=32768),
    "electra": Family(
        takes_types=True,
        types=2,
        gives_types=True,
        positions=512,
        vocabulary=30522,
        pad_id=0,
        first_token_head=True,
        activation="gelu",
    ),
    "ernie": Family(takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=0),
    "esm": Family(positions=1026, behind_padding=True),
    "esmc": Family(positions=2048, vocabulary=64, pad_id=1),
    "eurobert": Family(positions=8192, vocabulary=128256, pad_id=128001),
    "exaone4": Family(positions=2048, vocabulary=102400),
    "falcon": Family(positions=2048, vocabulary=65024),
    "flaubert": Family(
        takes_types=True,
        positions=512,
        vocabulary=30145,
        pad_id=2,
        aliases={"n_words": "vocab_size", "pad_index": "pad_token_id"},
    ),
    "fnet": Family(
        takes_types=True,
        takes_mask=False,
        types=4,
        gives_types=True,
        positions=512,
        vocabulary=32000,
        pad_id=3,
        padding="none",
    ),
    "funnel": Family(takes_types=True, vocabulary=30522),
    "gemma": Family(positions=8192, vocabulary=256000, pad_id=0),
    "gemma2": Family(positions=8192, vocabulary=256000, pad_id=0),
    "gemma3": Family(takes_types=True, positions=131072, vocabulary=262208, pad_id=0),
    "gemma3_text": Family(positions=131072, vocabulary=262208, pad_id=0),
    "glm": Family(positions=131072, vocabulary=151552, pad_id=151329),
    "glm4": Family(positions=131072, vocabulary=151552, pad_id=151329),
    "gpt-sw3": Family(takes_types=True, positions=1024, positions_key="n_positions", vocabulary=50257),
    "gpt2": Family(takes_types=True, positions=1024, positions_key="n_positions", vocabulary=50257),
    "gpt_bigcode": Family(takes_types=True, positions=1024, positions_key="n_positions", vocabulary=50257),
    "gpt_neo": Family(takes_types=True, positions=2048, vocabulary=50257),
    "gpt_neox": Family(positions=2048, vocabulary=50432),
    "gpt_oss": Family(positions=131072, vocabulary=201088),
    "gptj": Family(takes_types=True, positions=2048, positions_key="n_positions", vocabulary=50400),
    "gte": Family(takes_types=True, types=1, positions=8192, vocabulary=250048, pad_id=1),
    "helium": Family(positions=4096, vocabulary=48000, pad_id=3),
    "hunyuan_v1_dense": Family(positions=2048, vocabulary=290943, pad_id=0),
    "hunyuan_v1_moe": Family(positions=2048, vocabulary=290943, pad_id=0),
    "ibert": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=30522, pad_id=1),
    "jamba": Family(positions=262144, vocabulary=65536, pad_id=0),
    "jetmoe": Family(positions=4096, vocabulary=32000),
    "jina_embeddings_v3": Family(takes_types=True, types=1, positions=8194, vocabulary=250002, pad_id=1),
    "layoutlm": Family(takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=0),
    "layoutlmv2": Family(takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=0),
    "layoutlmv3": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=50265, pad_id=1),
    "lilt": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=30522, pad_id=0),
    "llama": Family(positions=2048, vocabulary=32000),
    "longformer": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=30522, pad_id=1),
    "luke": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=50267, pad_id=1),
    "markuplm": Family(
        takes_types=True, types=2, gives_types=True, positions=512, behind_padding=True, vocabulary=30522, pad_id=0
    ),
    "mbart": Family(positions=1024, vocabulary=50265, pad_id=1),
    "megatron-bert": Family(takes_types=True, types=2, gives_types=True, positions=512, vocabulary=29056, pad_id=0),
    "minicpm3": Family(positions=32768, vocabulary=73448),
    "minimax": Family(positions=131072, vocabulary=32000),
    "ministral": Family(positions=131072, vocabulary=32000),
    "ministral3": Family(positions=262144, vocabulary=131072, pad_id=11),
    "mistral": Family(positions=131072, vocabulary=32000),
    "mistral4": Family(positions=1048576, vocabulary=131072, pad_id=11),
    "mixtral": Family(positions=131072, vocabulary=32000),
    "mobilebert": Family(
        takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=0, padding="none"
    ),
    "modernbert": Family(positions=8192, vocabulary=50368, pad_id=50283),
    "modernbert-decoder": Family(positions=8192, vocabulary=50368, pad_id=50283),
    "modernvbert": Family(positions=8192, vocabulary=50368, pad_id=50283),
    "mpnet": Family(positions=512, behind_padding=True, fixed_padding=1, vocabulary=30527, pad_id=1),
    "mpt": Family(positions=2048, positions_key="max_seq_len", vocabulary=50368),
    "mra": Family(takes_types=True, types=1, positions=512, vocabulary=50265, pad_id=1),
    "mt5": Family(vocabulary=250112, pad_id=0),
    "mvp": Family(positions=1024, vocabulary=50267, pad_id=1),
    "nemotron": Family(positions=4096, vocabulary=256000),
    "nomic_bert": Family(takes_types=True, types=2, gives_types=True, positions=2048, vocabulary=30528, pad_id=0),
    "nystromformer": Family(takes_types=True, types=2, positions=510, vocabulary=30000, pad_id=1, padding="none"),
    "olmo": Family(positions=2048, vocabulary=50304, pad_id=1),
    "olmo2": Family(positions=2048, vocabulary=50304, pad_id=1),
    "olmo3": Family(positions=2048, vocabulary=50304, pad_id=1),
    "openai-gpt": Family(takes_types=True, positions=512, positions_key="n_positions", vocabulary=40478),
    "opt": Family(positions=2048, vocabulary=50272, pad_id=1),
    "perceiver": Family(positions=2048),
    "persimmon": Family(positions=16384, vocabulary=262144),
    "phi": Family(positions=2048, vocabulary=51200),
    "phi3": Family(positions=4096, vocabulary=32064, pad_id=32000),
    "phimoe": Family(positions=131072, vocabulary=32064),
    "plbart": Family(positions=1024, vocabulary=50005, pad_id=1),
    "qwen2": Family(positions=32768, vocabulary=151936),
    "qwen2_moe": Family(positions=32768, vocabulary=151936),
    "qwen3": Family(positions=32768, vocabulary=151936),
    "qwen3_5": Family(positions=32768, vocabulary=248320),
    "qwen3_5_text": Family(positions=32768, vocabulary=248320),
    "qwen3_moe": Family(positions=32768, vocabulary=151936),
    "qwen3_next": Family(positions=32768, vocabulary=151936),
    "reformer": Family(positions=4096, vocabulary=320, pad_id=0, padding="none"),
    "rembert": Family(takes_types=True, types=2, positions=512, vocabulary=250300, pad_id=0),
    "roberta": Family(
        takes_types=True,
        types=2,
        positions=512,
        behind_padding=True,
        vocabulary=50265,
        pad_id=1,
        first_token_head=True,
        activation="tanh",
    ),
    "roberta-prelayernorm": Family(
        takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=50265, pad_id=1
    ),
    "roc_bert": Family(takes_types=True, types=2, positions=512, vocabulary=30522, pad_id=0),
    "roformer": Family(takes_types=True, types=2, positions=1536, vocabulary=50000, pad_id=0),
    "seed_oss": Family(positions=524288, vocabulary=155136, pad_id=1),
    "smollm3": Family(positions=32768, vocabulary=128256, pad_id=128004),
    "squeezebert": Family(takes_types=True, types=2, gives_types=True, positions=512, vocabulary=30522, pad_id=0),
    "stablelm": Family(positions=4096, vocabulary=50304),
    "starcoder2": Family(positions=4096, vocabulary=49152),
    "t5": Family(vocabulary=32128, pad_id=0),
    "t5gemma": Family(positions=8192, vocabulary=256000, pad_id=0),
    "t5gemma2": Family(positions=131072, vocabulary=262208, pad_id=0),
    "tapas": Family(takes_types=True, gives_types=True, positions=1024, vocabulary=30522, pad_id=0),
    "ultrabert": Family(positions=32768, vocabulary=32000, pad_id=0),
    "ultravbert": Family(positions=32768, vocabulary=32000, pad_id=0),
    "umt5": Family(vocabulary=250112, pad_id=0),
    "xlm": Family(
        takes_types=True,
        positions=512,
        vocabulary=30145,
        pad_id=2,
        aliases={"n_words": "vocab_size", "pad_index": "pad_token_id"},
    ),
    "xlm-roberta": Family(
        takes_types=True,
        types=2,
        positions=512,
        behind_padding=True,
        vocabulary=30522,
        pad_id=1,
        first_token_head=True,
        activation="tanh",
    ),
    "xlm-roberta-xl": Family(
        takes_types=True, types=1, positions=514, behind_padding=True, vocabulary=250880, pad_id=1
    ),
    "xlnet": Family(takes_types=True, vocabulary=32000, pad_id=5, padding="left", aliases={"n_token": "vocab_size"}),
    "xmod": Family(takes_types=True, types=2, positions=512, behind_padding=True, vocabulary=30522, pad_id=1),
    "yoso": Family(takes_types=True, types=1, positions=4096, vocabulary=50265, pad_id=1, padding="none"),
    "zamba": Family(positions=4096, vocabulary=32000, pad_id=0),
    "zamba2": Family(positions=4096, vocabulary=32000, pad_id=0),
}


UNREADABLE: Mapping[str, str] = {
    "canine": "reads characters instead of tokens",
    "layoutlmv2": "reads page images and the positions of words",
    "layoutlmv3": "reads page images and the positions of words",
    "lilt": "reads the positions of words on a page",
    "markuplm": "reads the positions of words in a page's markup",
    "perceiver": "reads bytes instead of tokens",
    "qwen3_5": "reads images as well as text; its text-only model is qwen3_5_text",
    "t5gemma": "cannot be loaded by transformers 5, not even from a folder that it saved itself",
}
"""Families of sequence classifiers that cannot rerank texts, and why."""


UNKNOWN = Family(takes_types=True)
"""A family that is not in the table: everything comes from its configuration, without defaults."""


def family_of(model_type: str) -> Family:
    """Return the family of a configuration."""
    return FAMILIES.get(model_type, UNKNOWN)
