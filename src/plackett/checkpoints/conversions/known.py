"""Published causal rerankers whose folders do not contain their prompt: their authors' templates and tokens.

Newer versions of these repositories contain the modules of sentence-transformers 6, which override this table. To add a
reranker, copy its prompt verbatim from the authors' card.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from plackett.checkpoints.hub import repository_of
from plackett.checkpoints.inputs import read_tokenizer_json
from plackett.checkpoints.jsons import read_optional
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError

_INSTRUCTION = '{% set given = messages | selectattr("role", "eq", "system") | map(attribute="content") | first %}'
_QUERY = '{{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}'
_DOCUMENT = '{{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}'


@dataclass(frozen=True)
class Known:
    """One family of rerankers.

    pattern: matches the names of its repositories or folders, in lower case. name: for messages. true, false: tokens
    whose logits count, or their ids. max_length: tokens per pair in the authors' code. scale: a factor of the logit.
    """

    pattern: str
    name: str
    template: str
    true: str | int
    false: str | None
    max_length: int
    scale: float = 1.0

    def is_named(self, folder: Path) -> bool:
        """Whether a folder, its repository, or the model that it was saved from has a name of this family."""
        saved = str(read_optional(folder / CONFIG).get("_name_or_path") or "")
        names = (repository_of(folder) or "", folder.resolve().name, saved.rpartition("/")[2])
        return any(re.search(self.pattern, name.lower()) for name in names)

    def tokens_of(self, folder: Path) -> tuple[int, int | None]:
        """Return the ids of the tokens. CheckpointError if the tokenizer lacks one."""
        true = self._token(folder, self.true)
        return true, None if self.false is None else self._token(folder, self.false)

    def _token(self, folder: Path, token: str | int) -> int:
        if isinstance(token, int):
            return token
        tokenizer = read_tokenizer_json(folder)
        found: int | None = tokenizer.token_to_id(token) if tokenizer is not None else None
        if found is None:
            raise CheckpointError(
                f"the tokenizer of {folder} has no token {token!r}, whose logit is the score of this reranker"
            )
        return found


KNOWN = (
    # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B
    Known(
        pattern=r"qwen3-reranker-",
        name="Qwen3-Reranker",
        template=(
            _INSTRUCTION + "<|im_start|>system\n"
            "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
            'Note that the answer can only be "yes" or "no".<|im_end|>\n'
            "<|im_start|>user\n<Instruct>: {{ given or "
            '"Given a web search query, retrieve relevant passages that answer the query" }}\n'
            f"<Query>: {_QUERY}\n<Document>: {_DOCUMENT}<|im_end|>\n"
            '<|im_start|>assistant\n<think>\n\n</think>{{ "\\n\\n" }}'
        ),
        true="yes",
        false="no",
        max_length=8192,
    ),
    # https://github.com/mixedbread-ai/mxbai-rerank
    Known(
        pattern=r"mxbai-rerank-(base|large)-v2",
        name="mxbai-rerank-v2",
        template=(
            _INSTRUCTION + "<|im_start|>system\n"
            "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            '<|im_start|>user\n{{ "instruction: " + given + "\\n" if given else "" }}'
            f"query: {_QUERY}\ndocument: {_DOCUMENT}\n"
            "You are a search relevance expert who evaluates how well documents match search queries. For each "
            "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
            "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n"
            '<|im_start|>assistant{{ "\\n" }}'
        ),
        true="1",
        false="0",
        max_length=8192,
    ),
    # https://huggingface.co/BAAI/bge-reranker-v2-gemma
    Known(
        pattern=r"bge-reranker-v2-gemma",
        name="bge-reranker-v2-gemma",
        template=(
            _INSTRUCTION + "{{ bos_token }}" + f"A: {_QUERY}\nB: {_DOCUMENT}\n" + "{{ given or "
            '"Given a query A and a passage B, determine whether the passage contains an answer to the query by '
            "providing a prediction of either 'Yes' or 'No'.\" }}"
        ),
        true="Yes",
        false=None,
        max_length=1024,
    ),
    # https://huggingface.co/zeroentropy/zerank-1-small (modeling_zeranker.py)
    Known(
        pattern=r"zerank-1",
        name="zerank-1",
        template=(
            f"<|im_start|>system\n{_QUERY.replace(' }}', ' | trim }}')}<|im_end|>\n"
            f"<|im_start|>user\n{_DOCUMENT.replace(' }}', ' | trim }}')}<|im_end|>\n"
            '<|im_start|>assistant{{ "\\n" }}'
        ),
        true="Yes",
        false=None,
        max_length=8192,
        scale=1 / 5,
    ),
    # https://huggingface.co/ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b
    Known(
        pattern=r"ctxl-rerank-v2-instruct",
        name="ctxl-rerank-v2",
        template=(
            _INSTRUCTION + "Check whether a given document contains information helpful to answer the query.\n"
            f"<Document> {_DOCUMENT}\n<Query> {_QUERY}" + '{{ " " + given if given else "" }} ??'
        ),
        true=0,
        false=None,
        max_length=8192,
    ),
)
