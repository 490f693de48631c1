"""`CrossEncoder` with the interface of sentence-transformers 6.2: to migrate, change one import.

Needs neither sentence-transformers nor, unless a tensor or an activation function of torch is requested, torch.
docs/sentence-transformers.md lists the differences.
"""

import copy
import functools
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plackett._extras import extra
from plackett._inputs import check_top_k, checked_list
from plackett.checkpoints.activations import ACTIVATIONS
from plackett.checkpoints.exports import ENGINES
from plackett.checkpoints.folder import limited
from plackett.checkpoints.hub import Access, download
from plackett.checkpoints.jsons import read_optional
from plackett.checkpoints.own_files import SENTENCE_TRANSFORMERS
from plackett.cross_encoder import CrossEncoder as Encoder
from plackett.engines.base import EngineSettings, Parts
from plackett.engines.loading import Options, is_url, open_model, routes
from plackett.errors import CheckpointError, InputError, SettingError
from plackett.tokenization.windows import refuse_pair

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

ORGANISATION = "cross-encoder"  # the default organisation, as in sentence-transformers
BACKENDS = ("auto", "torch", "onnx", "openvino")
PRECISIONS = {"None": None, "auto": None, "float32": "fp32", "bfloat16": "bf16"}

# Keys of each dictionary of arguments: those that Plackett reads, and those that change no score.
MODEL_KWARGS = {"dtype", "torch_dtype", "device_map"} | {
    *("attn_implementation", "export", "file_name", "low_cpu_mem_usage", "provider", "use_safetensors"),
}
PROCESSOR_KWARGS = {"model_max_length", "use_fast"}
CONFIG_KWARGS = {"num_labels", "classifier_dropout"}
TRUNCATIONS = (None, True, "longest_first")  # the ones that truncate as Plackett does

# Arguments of earlier releases -> their names in 6.2; None if they no longer have an effect.
RENAMED = {
    "model_name": "model_name_or_path",
    "automodel_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "tokenizer_kwargs": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
    "default_activation_function": "activation_fn",
    "classifier_dropout": None,
    "sentences": "inputs",
    "activation_fct": "activation_fn",
    "num_workers": None,
}
POSITIONAL = ("num_labels", "max_length", "activation_fn", "device")  # after the model, before 5.4

Activation = Callable[["torch.Tensor"], "torch.Tensor"]


def _accepts_earlier_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept the arguments of earlier releases too, with a warning in the log."""

    @functools.wraps(function)
    def accepting(self: "CrossEncoder", *given: Any, **options: Any) -> Any:
        if function.__name__ == "__init__":
            given, more = given[:1], given[1:]
            options = dict(zip(POSITIONAL, more, strict=False)) | options
        for old in RENAMED.keys() & options.keys():
            value, new = options.pop(old), RENAMED[old]
            logger.warning(
                "%s is an argument of earlier releases; %s", old, f"use {new}" if new else "it has no effect"
            )
            if new is not None:
                options.setdefault(new, value)
        return function(self, *given, **options)

    return accepting


class _NoCard:
    """Accepts the figures that evaluators store for a model card, which `plackett card` writes instead."""

    def set_evaluation_metrics(self, *_: object, **__: object) -> None:
        """Do nothing."""


class CrossEncoder:
    """A reranker with the arguments, methods and results of `sentence_transformers.CrossEncoder`.

    `backend` defaults to the checkpoint's fastest exact engine. `model_kwargs` may hold `dtype` (float32 or
    bfloat16) and `device_map` (the name of a device). `trust_remote_code` runs the code of a folder on this
    machine only. `batch_size` has no effect on the result: batches are cut by their number of tokens.

    Raises SettingError (a ValueError) for arguments without a counterpart in Plackett, such as `modules`, and
    CheckpointError as `plackett.CrossEncoder` does.
    """

    @_accepts_earlier_names
    def __init__(  # noqa: PLR0913 - those of sentence-transformers
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: object = None,
        device: "str | torch.device | None" = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "auto",
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        keep_in_fp32_modules: Sequence[str] | None = None,
    ) -> None:
        if modules is not None:
            raise SettingError(
                "modules= builds a model of torch modules, which Plackett does not support; pass the name of its "
                "saved folder"
            )
        config = _checked("config_kwargs", config_kwargs, CONFIG_KWARGS)
        self._activation = activation_fn
        options = replace(
            _options(backend, device, model_kwargs or {}, processor_kwargs or {}),
            revision=revision,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
            activation=None if self._activation is None else "identity",
        )
        if max_length is not None:
            options = replace(options, max_length=max_length)
        self._opened = (_find(model_name_or_path, options, Access(cache_folder, token)), options)
        self._assemble(open_model(*self._opened))
        self._check_labels(num_labels or config.get("num_labels"))
        self._set_prompts(prompts, default_prompt_name)
        self.model_card_data = model_card_data or _NoCard()

    def __repr__(self) -> str:
        return f"CrossEncoder({self._parts.model.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle how the model was opened, not its weights: the other process opens it again."""
        name, options = self._opened
        opened = (os.path.abspath(name) if name is not None and os.path.isdir(name) else name, options)
        state = {key: value for key, value in vars(self).items() if key not in ("_parts", "_encoder")}
        return state | {"_opened": opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._assemble(open_model(*self._opened))

    def __deepcopy__(self, memo: dict[int, Any]) -> "CrossEncoder":
        """Return a model with separate settings; both share the engine, which no call changes."""
        copied = CrossEncoder.__new__(CrossEncoder)
        vars(copied).update(vars(self))
        copied.prompts = dict(self.prompts)
        copied.model_card_data = copy.deepcopy(self.model_card_data, memo)
        return copied

    @_accepts_earlier_names
    def predict(  # noqa: PLR0913 - those of sentence-transformers
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: object = None,
        chunk_size: int | None = None,
        *,
        processing_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Score one (query, document) pair, or a list, array or column of pairs.

        Returns float32 (pairs,), or (pairs, labels) for several labels: by default an array, with `convert_to_tensor` a
        tensor, and without `convert_to_numpy` a list of tensors. A single pair gives a single item.
        `processing_kwargs={"text": {"max_length": 256}}` overrides the token limit for this call. Raises InputError for
        an item that is not a pair of texts.
        """
        if batch_size <= 0:
            raise SettingError(f"batch_size={batch_size} is not a valid number of pairs")
        self._move(device)
        pairs, is_single = _pairs(inputs)
        logits = self._logits(
            pairs, self._prompt(prompt, prompt_name), _token_limit(processing_kwargs), _shown(show_progress_bar)
        )
        scores = self._scores(logits, activation_fn or self._activation, bool(apply_softmax))
        if convert_to_tensor or not convert_to_numpy:
            scores = self._tensors(scores, as_list=not convert_to_tensor)
        elif not isinstance(scores, np.ndarray):
            scores = scores.float().cpu().numpy()
        return scores[0] if is_single else scores

    @_accepts_earlier_names
    def rank(  # noqa: PLR0913 - those of sentence-transformers
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: Any = None,
        pool: object = None,
        chunk_size: int | None = None,
        **without_effect: object,
    ) -> list[dict[str, Any]]:
        """Return `{"corpus_id", "score"}`, and with `return_documents` the `text`, best first by score.

        Documents with equal scores keep the input's order. Raises InputError for a model with several labels.
        """
        _checked("rank", without_effect, {"apply_softmax", "convert_to_numpy", "convert_to_tensor"})
        if self.num_labels != 1:
            raise InputError(f"rank needs one label, and {self!r} has {self.num_labels}; use predict instead")
        check_top_k(top_k)
        scores = self.predict(
            [(query, document) for document in documents],
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            device=device,
        ).tolist()
        ranked = sorted(range(len(scores)), key=lambda index: scores[index], reverse=True)[:top_k]
        return [
            {"corpus_id": index, "score": scores[index]} | ({"text": documents[index]} if return_documents else {})
            for index in ranked
        ]

    def evaluate(self, evaluator: Callable[..., Any], output_path: str | None = None) -> Any:
        """Call an evaluator of sentence-transformers with this model, and return its results."""
        if output_path is not None:
            os.makedirs(output_path, exist_ok=True)
        return evaluator(self, output_path)

    def save_pretrained(self, path: str | os.PathLike[str], **_: object) -> None:
        """Write the checkpoint's folder; further arguments of sentence-transformers have no effect.

        Raises SettingError for an activation function that a checkpoint cannot name.
        """
        checkpoint = self._parts.checkpoint
        if self._activation is None or checkpoint is None:
            self._encoder.save_pretrained(path)
            return
        named = replace(checkpoint, activation=_activation_name(self._activation))
        Encoder.from_parts(replace(self._parts, checkpoint=named)).save_pretrained(path)

    save = save_pretrained

    def start_multi_process_pool(self, target_devices: Sequence[str] | None = None) -> dict[str, Any]:
        """Return an empty pool: one process uses all cores, and `plackett bulk` uses several devices and machines."""
        return {}

    @staticmethod
    def stop_multi_process_pool(pool: object) -> None:
        """Do nothing, because there are no processes."""

    def eval(self) -> "CrossEncoder":
        """Return the model, which is always in evaluation mode."""
        return self

    def to(self, device: "str | torch.device") -> "CrossEncoder":
        """Load the model on a device, and return it."""
        self._move(device)
        return self

    def get_backend(self) -> str:
        """Return the name of the engine that computes, or `auto` for a server."""
        module = type(self._parts.engine).__module__
        return next((spec.name for spec in ENGINES.values() if spec.module == module), "auto")

    @property
    def num_labels(self) -> int:
        """Number of scores per pair."""
        return self._parts.model.labels

    @property
    def max_seq_length(self) -> int:
        """Token limit per pair."""
        return self._encoder.checkpoint.max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self._assemble(_limited(self._parts, value))
        self._opened = (self._opened[0], replace(self._opened[1], max_length=value))

    max_length = max_seq_length

    @property
    def device(self) -> "torch.device":
        """The device that computes."""
        with extra("train"):
            import torch
        return torch.device(self._opened[1].device or "cpu")

    @property
    def activation_fn(self) -> Activation:
        """The activation, as a function of tensors; assign another to change it."""
        return self._activation or self.get_default_activation_fn()

    @activation_fn.setter
    def activation_fn(self, function: Activation | None) -> None:
        self._activation = function

    @property
    def default_activation_function(self) -> Activation:
        """The name of `activation_fn` in earlier releases."""
        text = "The `default_activation_function` property was renamed and is now deprecated; use `activation_fn`"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return self.activation_fn

    def get_default_activation_fn(self) -> Activation:
        """Return the activation of the checkpoint, a module of torch."""
        with extra("train"):
            import torch
        name = ACTIVATIONS[self._parts.model.activation][0].rpartition(".")[2]
        activation: Activation = getattr(torch.nn, name)(**({"dim": -1} if name == "Softmax" else {}))
        return activation

    def _assemble(self, parts: Parts) -> None:
        self._parts = parts
        self._encoder = Encoder.from_parts(parts)

    def _set_prompts(self, prompts: Mapping[str, str] | None, default: str | None) -> None:
        """Set the given prompts, or those in the checkpoint."""
        checkpoint = self._parts.checkpoint
        saved = read_optional(checkpoint.folder / SENTENCE_TRANSFORMERS) if checkpoint else {}
        self.prompts: dict[str, str] = dict(saved.get("prompts") or {} if prompts is None else prompts)
        self.default_prompt_name: str | None = default or saved.get("default_prompt_name")

    def _check_labels(self, wanted: int | None) -> None:
        if wanted is not None and wanted != self.num_labels:
            raise SettingError(
                f"num_labels={wanted}, and {self._parts.model.name} has {self.num_labels}; leave it out, or train a "
                "model with as many labels"
            )

    def _move(self, device: Any) -> None:
        """Load the model again if the device changes."""
        name, options = self._opened
        wanted = _device(device)
        if wanted not in (None, options.device or "cpu"):
            options = replace(options, device=wanted)
            self._assemble(open_model(name, options))
            self._opened = (name, options)

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            return prompt
        if name is not None and name not in self.prompts:
            raise SettingError.unknown("prompt_name", name, self.prompts)
        return self.prompts.get(name or self.default_prompt_name or "", "")

    def _logits(
        self, pairs: list[tuple[str, str]], prompt: str, limit: int | None, is_shown: bool
    ) -> NDArray[np.float32]:
        if not pairs:
            return np.empty((0, self.num_labels), np.float32)
        parts = self._parts if limit is None else _limited(self._parts, limit)
        encoded = parts.tokenizer.encode([(prompt + query, document) for query, document in pairs], refuse_pair)
        return self._encoder.score_encoded(encoded, show_progress=is_shown)

    def _scores(self, logits: NDArray[np.float32], activation: Activation | None, softmax: bool) -> Any:
        """Convert raw logits, (pairs, labels), to scores: (pairs,), or (pairs, labels) for several labels.

        Returns a tensor if a function of torch is applied, otherwise an array.
        """
        if activation is None:
            scores: Any = self._parts.model.activate(logits).reshape(logits.shape)
        else:
            with extra("train"):
                import torch
            with torch.inference_mode():
                scores = activation(torch.from_numpy(logits))
        if self.num_labels == 1 and scores.ndim > 1 and scores.shape[-1] == 1:
            return scores[:, 0]
        if not softmax or scores.ndim < 2:
            return scores
        return ACTIVATIONS["softmax"][1](scores) if activation is None else scores.softmax(dim=1)

    def _tensors(self, scores: Any, *, as_list: bool) -> Any:
        with extra("train"):
            import torch
        tensor = torch.as_tensor(scores).to(self.device)
        return list(tensor) if as_list else tensor


def _activation_name(function: Activation) -> str:
    """Return the name under which a checkpoint stores an activation function."""
    kind = type(function)
    for name, (dotted, _) in ACTIVATIONS.items():
        if dotted == f"{kind.__module__}.{kind.__qualname__}":
            return name
    known = ", ".join(sorted(dotted.rpartition(".")[2] for dotted, _ in ACTIVATIONS.values()))
    raise SettingError(
        f"activation_fn={function!r} cannot be saved; before saving, assign one of torch.nn to it: {known}"
    )


def _checked(name: str, given: Mapping[str, Any] | None, known: set[str]) -> Mapping[str, Any]:
    """Raise SettingError for an argument without a counterpart in Plackett."""
    given = given or {}
    for key in given:
        if key not in known:
            raise SettingError.unknown(f"argument in {name}", key, known)
    return given


def _options(backend: str, device: Any, model: Mapping[str, Any], processor: Mapping[str, Any]) -> Options:
    """Translate the arguments that determine how a model runs."""
    _checked("model_kwargs", model, MODEL_KWARGS)
    _checked("processor_kwargs", processor, PROCESSOR_KWARGS)
    if backend not in BACKENDS:
        raise SettingError.unknown("backend", backend, BACKENDS)
    return Options(
        engine=backend,
        device=_device(model.get("device_map") or device),
        precision=_precision(model.get("dtype", model.get("torch_dtype"))),
        max_length=processor.get("model_max_length"),
    )


def _device(device: Any) -> str | None:
    """Return the name of a device; several must all be the same."""
    if isinstance(device, list | tuple):
        several = {str(item) for item in device}
        if len(several) > 1:
            raise SettingError(
                f"several devices, {', '.join(sorted(several))}: predict uses one; plackett bulk uses several"
            )
        return next(iter(several), None)
    return None if device is None or device == "auto" else str(device)


def _precision(dtype: object) -> str | None:
    name = str(dtype).removeprefix("torch.")
    if name not in PRECISIONS:
        raise SettingError.unknown("dtype", name, PRECISIONS.keys() - {"None"})
    return PRECISIONS[name]


def _find(name: str | os.PathLike[str] | None, options: Options, access: Access) -> str | os.PathLike[str] | None:
    """Return the folder of a model by sentence-transformers' rules; leave other names unchanged."""
    if name is None or is_url(name) or str(name).startswith("pypi:") or Path(name).exists():
        return name
    access = access._replace(cache_folder=access.cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
    settings = EngineSettings(options.device, options.precision)
    return download(
        str(name) if "/" in str(name) else f"{ORGANISATION}/{name}",
        options.revision,
        local_files_only=options.local_files_only,
        files=[route.files for route in routes(str(options.engine), settings, allow_pickle=False)],
        access=access,
    )


def _limited(parts: Parts, limit: int) -> Parts:
    """Return the same model with another token limit."""
    if parts.checkpoint is None:
        raise CheckpointError(f"{parts.model.name} is a server, which sets its own token limit")
    return Parts.of(limited(parts.checkpoint, limit), parts.engine, parts.long_documents)


def _token_limit(given: Mapping[str, Any] | None) -> int | None:
    """Return the token limit in `processing_kwargs`; its padding options change no score."""
    text = _checked("processing_kwargs", given, {"text"}).get("text")
    text = _checked("processing_kwargs", text, {"max_length", "padding", "truncation"})
    if text.get("truncation") not in TRUNCATIONS:
        raise SettingError(f"truncation={text['truncation']!r}: long pairs are always truncated; leave it out")
    limit: int | None = text.get("max_length")
    return limit


def _shown(show_progress_bar: bool | None) -> bool:
    return logger.isEnabledFor(logging.INFO) if show_progress_bar is None else show_progress_bar


def _pairs(inputs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return the pairs, and whether one pair was given instead of a list of pairs."""
    items = checked_list(inputs, "inputs")
    is_single = bool(items) and isinstance(items[0], str)
    return [_pair(index, item) for index, item in enumerate([items] if is_single else items)], is_single


def _pair(index: int, item: Any) -> tuple[str, str]:
    texts = checked_list(item, f"pair {index}")
    if len(texts) != 2:
        raise InputError(f"pair {index} has {len(texts)} items, not (query, document)")
    query, document = texts
    if not isinstance(query, str) or not isinstance(document, str):
        kinds = f"{type(query).__name__} and {type(document).__name__}"
        raise InputError(f"pair {index} contains {kinds}; both must be text")
    return str(query), str(document)
