"""Listwise rerankers, which read a query and many documents in one prompt: their prompts and their authors' limits.

Their folders name Python code (`auto_map`), which Plackett does not run: it builds the same model from transformers'
parts. To add a model, add an entry to `LISTWISE` and, if it computes differently, a forward pass to
`engines/torch/lists.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plackett.checkpoints.heads import Head, architectures_of, as_they_are
from plackett.checkpoints.inputs import read_tokenizer_json
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError

LISTS = Head("lists of documents", "ForRanking", lambda *_: True, as_they_are)
"""The head of a listwise reranker: its raw output is the cosine similarity of the document's and query's embeddings."""


@dataclass(frozen=True)
class ListFormat:
    """The prompt format of a listwise reranker.

    model_type: from its configuration. document, query: the tokens whose states are embedded. before, after: text
    around the task and the passages. task, passage, question: templates with the fields `count` and `query`; `number`,
    `text` and `token`; `query` and `token`. instructed: a template with the field `instruction`. most: documents per
    prompt. document_tokens, query_tokens: token limits of texts.
    """

    model_type: str
    document: str
    query: str
    before: str
    task: str
    instructed: str
    passage: str
    question: str
    after: str
    most: int
    document_tokens: int
    query_tokens: int
    instruction: str = ""

    @property
    def summary(self) -> str:
        """Describe the limits of a prompt for users."""
        return (
            f"a prompt for up to {self.most} documents: at most {self.document_tokens} tokens of each and "
            f"{self.query_tokens} of the query"
        )


LISTWISE: Mapping[str, ListFormat] = {
    # https://huggingface.co/jinaai/jina-reranker-v3, arXiv:2509.25085
    "JinaForRanking": ListFormat(
        model_type="qwen3",
        document="<|embed_token|>",
        query="<|rerank_token|>",
        before=(
            "<|im_start|>system\n"
            "You are a search relevance expert who can determine a ranking of the passages based on how relevant they "
            "are to the query. If the query is a question, how relevant a passage is depends on how well it answers "
            "the question. If not, try to analyze the intent of the query and assess how well each passage satisfies "
            "the intent. If an instruction is provided, you should follow the instruction when determining the "
            "ranking.<|im_end|>\n<|im_start|>user\n"
        ),
        task=(
            "I will provide you with {count} passages, each indicated by a numerical identifier. "
            "Rank the passages based on their relevance to query: {query}\n"
        ),
        instructed="<instruct>\n{instruction}\n</instruct>\n",
        passage='<passage id="{number}">\n{text}{token}\n</passage>\n',
        question="<query>\n{query}{token}\n</query>",
        after="<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        most=125,
        document_tokens=2048,
        query_tokens=512,
    ),
}


def list_format(folder: Path, config: Mapping[str, Any]) -> ListFormat | None:
    """Return the prompt format of a folder's model; None for a model that reads pairs.

    Raises CheckpointError for a listwise reranker of a kind that Plackett does not support.
    """
    name = next((name for name in architectures_of(config) if name in LISTWISE), None)
    if name is None:
        return None
    found = LISTWISE[name]
    if config.get("model_type") != found.model_type or "sliding_attention" in (config.get("layer_types") or ()):
        raise CheckpointError(
            f"{folder / CONFIG} describes a {name} other than jina-reranker-v3 (such as v3.5, which has sliding "
            "windows and other limits), which Plackett does not support; use jina-reranker-v3"
        )
    marks_of(folder, found)
    return found


def marks_of(folder: Path, form: ListFormat) -> tuple[int, int]:
    """Return the ids of the tokens after a document and after the query. CheckpointError if one is missing."""
    tokenizer = read_tokenizer_json(folder)
    document, query = (tokenizer and tokenizer.token_to_id(token) for token in (form.document, form.query))
    if document is None or query is None:
        missing = form.document if document is None else form.query
        raise CheckpointError(
            f"the tokenizer of {folder} has no token {missing!r}, at which this reranker reads its scores; download "
            "tokenizer.json again"
        )
    return document, query


def is_listwise(config: Mapping[str, Any]) -> bool:
    """Whether a configuration belongs to a listwise reranker whose code Plackett replaces."""
    return any(name in LISTWISE for name in architectures_of(config))
