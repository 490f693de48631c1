"""Chat templates, which turn an instruction, a query and a document into one text.

sentence-transformers 6 renders a folder's template with messages of the roles `system` (the instruction), `query` and
`document`. Rendering needs jinja2 and happens in `plackett.tokenization.templates`; this module only reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plackett.checkpoints.jsons import read_optional, write_json
from plackett.checkpoints.own_files import MODULES, SENTENCE_TRANSFORMERS, SPECIAL_TOKENS, TOKENIZER_CONFIG
from plackett.checkpoints.settings import FIRST_MODULE, first_module
from plackett.errors import CheckpointError

FILES = ("chat_template.jinja", "chat_template.json")
OTHERS = "additional_chat_templates"
FORMATS = ("auto", "flat", "structured")

_LOGITS = {"method": "forward", "method_output_name": "logits"}
_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and the values that it is rendered with.

    source: Jinja. format: whether a message's content is a text ("flat"), a list of parts ("structured"), or what the
    template itself reads ("auto"). tokens: the special tokens by name, such as `bos_token`. settings: further
    variables. instruction: the text of the system message; empty for none.
    """

    source: str
    format: str = "auto"
    tokens: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    instruction: str = ""


def read_template(folder: Path, module: Mapping[str, Any], instruction: str) -> ChatTemplate | None:
    """Return the chat template that renders a folder's pairs, or None for plain pairs of texts.

    `module` contains the settings of sentence-transformers' first module, and is empty for a folder without modules.
    """
    modalities = module.get("modality_config")
    message = modalities.get("message") if isinstance(modalities, dict) else None
    source = _source(folder)
    if source is None or (module and message is None):
        return None
    kind = message.get("format", "auto") if isinstance(message, dict) else "auto"
    if kind not in FORMATS:
        raise CheckpointError(
            f"{folder} has chat messages of the unknown format {kind!r}; the known ones are {FORMATS}"
        )
    processing = module.get("processing_kwargs")
    settings = processing.get("chat_template") if isinstance(processing, dict) else None
    return ChatTemplate(
        source=source,
        format=kind,
        tokens=_tokens(folder),
        settings=settings if isinstance(settings, dict) else {},
        instruction=instruction,
    )


def write_modules(folder: Path, template: ChatTemplate | None) -> None:
    """Describe a classifier of one module as sentence-transformers 6 saves it, with its chat template if it has one.

    Templates in other files of the folder are removed, so there is only one.
    """
    remove_templates(folder)
    module = {key: value for key, value in first_module(folder).items() if key == "max_seq_length"}
    modalities: dict[str, Any] = {"text": _LOGITS}
    if template is not None:
        (folder / FILES[0]).write_text(template.source, encoding="utf-8")
        modalities["message"] = _LOGITS if template.format == "auto" else {**_LOGITS, "format": template.format}
        if template.settings:
            module["processing_kwargs"] = {"chat_template": dict(template.settings)}
        _write_instruction(folder, template.instruction)
    module |= {
        "transformer_task": "sequence-classification",
        "modality_config": modalities,
        "module_output_name": "scores",
    }
    write_json(folder / FIRST_MODULE[0], module)
    write_json(folder / MODULES, [{"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}])


def _write_instruction(folder: Path, instruction: str) -> None:
    """Make an instruction the default prompt."""
    settings = read_optional(folder / SENTENCE_TRANSFORMERS)
    prompts, name = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if instruction and prompts.get(name) != instruction:
        prompts, name = prompts | {"instruction": instruction}, "instruction"
    kept = {"model_type": "CrossEncoder", "prompts": prompts, "default_prompt_name": name}
    write_json(folder / SENTENCE_TRANSFORMERS, settings | kept)


def remove_templates(folder: Path) -> None:
    """Remove the chat templates of a folder."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    settings = read_optional(folder / TOKENIZER_CONFIG)
    if settings.pop("chat_template", None) is not None:
        write_json(folder / TOKENIZER_CONFIG, settings)


def _source(folder: Path) -> str | None:
    """Return the template of a folder; a separate file overrides the tokenizer's settings, as in transformers."""
    if (folder / OTHERS).exists():
        raise CheckpointError(
            f"{folder / OTHERS} contains several chat templates, but does not state which one to apply"
        )
    text, older = folder / FILES[0], read_optional(folder / FILES[1]).get("chat_template")
    if text.is_file():
        return text.read_text(encoding="utf-8")
    found = older or read_optional(folder / TOKENIZER_CONFIG).get("chat_template")
    if isinstance(found, list):  # the older form: several named templates
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    if found is not None and not isinstance(found, str):
        raise CheckpointError(f"{folder / TOKENIZER_CONFIG}: chat_template is not text")
    return found or None


def _tokens(folder: Path) -> dict[str, str]:
    settings = read_optional(folder / SPECIAL_TOKENS) | read_optional(folder / TOKENIZER_CONFIG)
    tokens = {}
    for key, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            tokens[key] = text
    return tokens
