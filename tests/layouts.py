"""Tiny random rerankers in the layouts that people publish, built with the libraries that define them."""

import json
import pathlib

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = "yes no Yes the query and a document about cats, dogs, lists and sorting words; assistant system user think 0 1"

TEMPLATE = """<|im_start|>system
Judge whether the document answers.<|im_end|>
<|im_start|>user
<Instruct>: {{ (messages | selectattr("role", "eq", "system") | map(attribute="content") | first) or "Find it" }}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
<think>

</think>{{ "\\n\\n" }}"""

ENCODER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
DECODER = ENCODER | {"num_key_value_heads": 2, "head_dim": 8}

PAIRS = [
    ("sort a list", "the list is sorted"),
    ("cats", "dogs and cats " * 150),
    ("a \u00e9 b", "  x\n"),
    ("words " * 20, "the"),
]


def tokenizer(**settings) -> transformers.PreTrainedTokenizerBase:
    """A byte-level tokenizer with the special tokens of ChatML."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet)
    made.train_from_iterator([TEXT] * 40, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token="<|endoftext|>",
        model_max_length=256,
        **settings,
    )


def causal(
    folder: pathlib.Path, *, tied: bool = True, template: str | None = TEMPLATE, positions: int = 256, **settings
) -> pathlib.Path:
    """A Qwen3 language model with its tokenizer."""
    fast = tokenizer()
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=len(fast),
        **DECODER,
        max_position_embeddings=positions,
        tie_word_embeddings=tied,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=0,
        **settings,
    )
    model = transformers.Qwen3ForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4) if weight.dim() > 1 else None
    model.save_pretrained(folder)
    return folder


def token(folder: pathlib.Path, text: str) -> int:
    """The id of a token."""
    found = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(text)
    assert found is not None
    return int(found)


def logit_score(folder: pathlib.Path, base: pathlib.Path, *, false: str | None = "no", **settings) -> pathlib.Path:
    """A language model under sentence-transformers' LogitScore, saved by sentence-transformers."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    score = LogitScore(token(base, "yes"), None if false is None else token(base, false))
    transformer = Transformer(str(base), transformer_task="text-generation")
    CrossEncoder(modules=[transformer, score], device="cpu", **settings).save_pretrained(str(folder))
    return folder


def ettin(folder: pathlib.Path, *, pooling: str = "cls", bias: bool = True) -> pathlib.Path:
    """A chain of modules over a ModernBERT, as the ettin rerankers are published."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    fast = tokenizer()
    base = folder / "base"
    fast.save_pretrained(base)
    torch.manual_seed(1)
    config = transformers.ModernBertConfig(
        vocab_size=len(fast),
        **(ENCODER | {"num_hidden_layers": 3}),
        max_position_embeddings=256,
        pad_token_id=0,
        cls_token_id=1,
        sep_token_id=2,
    )
    transformers.ModernBertModel(config).save_pretrained(base)
    transformer = Transformer(str(base))
    norm = LayerNorm(32)
    torch.nn.init.normal_(norm.norm.weight, 1, 0.3)
    torch.nn.init.normal_(norm.norm.bias, 0, 0.3)
    chain = [
        transformer,
        Pooling(32, pooling_mode=pooling),
        Dense(32, 32, bias=bias, activation_function=torch.nn.GELU(), module_output_name="sentence_embedding"),
        norm,
        Dense(32, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    CrossEncoder(modules=chain, device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"


def listwise(folder: pathlib.Path, *, max_length: int = 4096, width: int = 16, **settings) -> pathlib.Path:
    """A tiny jina-reranker-v3: Qwen3, a projector of two layers, and code that must not run."""
    fast = tokenizer()
    fast.add_special_tokens({"additional_special_tokens": ["<|embed_token|>", "<|rerank_token|>"]})
    fast.model_max_length = max_length
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    sizes = {"vocab_size": len(fast), **DECODER, "max_position_embeddings": max_length}
    config = transformers.Qwen3Config(**sizes, tie_word_embeddings=True, eos_token_id=2, bos_token_id=0, **settings)
    model = transformers.Qwen3ForCausalLM(config)
    hidden = config.hidden_size
    model.projector = torch.nn.Sequential(
        torch.nn.Linear(hidden, hidden // 2, bias=False),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden // 2, width, bias=False),
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(4) if weight.dim() > 1 and not name.startswith("projector") else None
    model.save_pretrained(folder)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content |= {"architectures": ["JinaForRanking"], "auto_map": {"AutoModel": "modeling.JinaForRanking"}}
    path.write_text(json.dumps(content))
    (folder / "modeling.py").write_text("raise SystemError('this code must not run')\n")
    return folder
