"""The embedded model with fewer layers: cut to every other layer or so, then distilled from itself.

    PLACKETT_DATA=... python -m default_model.layers WORK_FOLDER [--layers 9 8 6] [--steps 300]

WORK_FOLDER is the folder of `make default-model`, with the fp32 model and its training lists. A student starts as the
teacher with evenly spaced layers kept, and learns the hidden states behind them, the logits, and the order of each
list. Its state is saved every `SAVED` steps; the same command continues from there. The int8 graphs are measured on the
development sets; the results go to default_model/results/layers.json.
"""

import argparse
import copy
import itertools
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoTokenizer, BertForSequenceClassification

from benchmarks._common import write_result
from default_model.development import measure_all, table
from default_model.make import LISTS, NAME, SOURCES, development
from plackett.checkpoints.own_files import WEIGHTS
from plackett.data import read_lists
from plackett.records import LabeledList
from plackett.workflows.export import export

RESULT = Path(__file__).parent / "results" / "layers.json"
QUERIES, DOCUMENTS, TOKENS = 8, 8, 128  # of a step
RATE, WARM_UP = 1e-4, 0.1
TEMPERATURE = 2.0
SHARES = {"msmarco": 4, "wikiqa": 2, "passages": 2, "articles": 2, "climate": 1, "subjects": 1}
SAVED = 50


def kept(layers: int, of: int) -> list[int]:
    """The layers of the teacher that a student keeps: evenly spaced, the last among them."""
    return [round((number + 1) * of / layers) - 1 for number in range(layers)]


def cut(teacher: BertForSequenceClassification, layers: Sequence[int]) -> BertForSequenceClassification:
    """A copy of the teacher with these layers, to be trained without dropout, its embeddings frozen."""
    student = copy.deepcopy(teacher)
    student.bert.encoder.layer = torch.nn.ModuleList(student.bert.encoder.layer[number] for number in layers)
    student.config.num_hidden_layers = len(layers)
    student.bert.embeddings.requires_grad_(requires_grad=False)
    return student


def steps_of(work: Path, seed: int = 0) -> Iterator[tuple[list[str], list[str]]]:
    """Endless steps: QUERIES lists of DOCUMENTS texts, filled with texts of other lists of the same file."""
    rng = random.Random(seed)
    files = {name: list(read_lists(work / LISTS / f"{name}.jsonl")) for name in SOURCES}
    while True:
        queries: list[str] = []
        documents: list[str] = []
        for name in rng.choices(list(SHARES), list(SHARES.values()), k=QUERIES):
            item = rng.choice(files[name])
            documents += _texts(item, files[name], rng)
            queries += [item.query] * DOCUMENTS
        yield queries, documents


def _texts(item: LabeledList, others: Sequence[LabeledList], rng: random.Random) -> list[str]:
    texts = rng.sample(item.documents, min(DOCUMENTS, len(item.documents)))
    while len(texts) < DOCUMENTS:
        texts.append(rng.choice(rng.choice(others).documents))
    return texts


def loss(student: Any, teacher: Any, mask: Tensor, layers: Sequence[int]) -> Tensor:
    """Hidden states, as a share of their variance; logits likewise; and the order within each list.

    Of the last layer only the first token counts: the head reads nothing else. See TinyBERT (Jiao et al. 2020,
    arXiv:1909.10351) for the layers, and Hinton et al. 2015 (arXiv:1503.02531) for the softened order.
    """
    hidden = []
    for number, layer in enumerate(layers, start=1):
        ours, theirs = student.hidden_states[number].float(), teacher.hidden_states[layer + 1].float()
        weights = mask[..., None].float()
        if number == len(layers):
            ours, theirs, weights = ours[:, :1], theirs[:, :1], torch.ones(len(ours), 1, 1)
        mean = (theirs * weights).sum((0, 1)) / weights.sum()
        hidden.append(((ours - theirs) ** 2 * weights).sum() / ((theirs - mean) ** 2 * weights).sum())

    ours, theirs = (output.logits.float().view(QUERIES, DOCUMENTS) for output in (student, teacher))
    order = functional.kl_div(
        (ours / TEMPERATURE).log_softmax(-1), (theirs / TEMPERATURE).softmax(-1), reduction="batchmean"
    )
    total: Tensor = torch.stack(hidden).mean() + ((ours - theirs) ** 2).mean() / theirs.var() + order
    return total


def distil(source: Path, work: Path, layers: int, steps: int) -> Path:
    """Make `WORK/layers-N`, a checkpoint in fp32; continue from the last saved state."""
    target, state = work / f"layers-{layers}", work / f"layers-{layers}.state"
    if target.is_dir():
        return target
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(source)
    teacher: Any = BertForSequenceClassification.from_pretrained(source).eval()  # type: ignore[no-untyped-call]
    numbers = kept(layers, teacher.config.num_hidden_layers)
    student = cut(teacher, numbers)
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=RATE, weight_decay=0)
    warm = max(1, int(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    )
    begun = _load(state, student, optimizer, schedule)
    # Draw the finished steps again, so that the rest are the same as in an uninterrupted run.
    left = itertools.islice(enumerate(steps_of(work)), begun, steps)
    for step, (queries, documents) in tqdm(left, total=steps, initial=begun, desc=f"{layers} layers", unit="step"):
        inputs = tokenizer(
            queries, documents, truncation="longest_first", max_length=TOKENS, padding=True, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                given = teacher(**inputs, output_hidden_states=True)
            found = student(**inputs, output_hidden_states=True)
        optimizer.zero_grad()
        torch.autograd.backward(loss(found, given, inputs["attention_mask"], numbers))
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % SAVED == 0:
            _save(state, step + 1, student, optimizer, schedule)

    _write(source, student, target)
    state.unlink(missing_ok=True)
    return target


def _save(path: Path, step: int, *parts: Any) -> None:
    partial = path.with_suffix(".partial")
    torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, partial)
    partial.replace(path)


def _load(path: Path, *parts: Any) -> int:
    if not path.is_file():
        return 0
    saved = torch.load(path, weights_only=True)
    for part, values in zip(parts, saved["parts"], strict=True):
        part.load_state_dict(values)
    return int(saved["step"])


def _write(source: Path, student: BertForSequenceClassification, target: Path) -> None:
    """The source's folder with the student's weights and number of layers."""
    made = target.with_suffix(".partial")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made, ignore=shutil.ignore_patterns(WEIGHTS))
    student.save_pretrained(made)
    config = json.loads((source / "config.json").read_text())
    config["num_hidden_layers"] = student.config.num_hidden_layers
    (made / "config.json").write_text(json.dumps(config, indent=2))
    made.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[9, 8, 6])
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    work, data = options.work, Path(os.environ["PLACKETT_DATA"])
    models: dict[str, Path | str] = {"12": work / f"{NAME}-0"}
    lists = str(development(data, work))
    for layers in options.layers:
        distilled = distil(work / f"{NAME}-0-fp32", work, layers, options.steps)
        graph = work / f"layers-{layers}-int8"
        if not graph.is_dir():
            export(
                str(distilled),
                engine="onnx",
                precision="int8",
                output=graph,
                calibration=lists,
                accept_loss=True,
            )
        models[str(layers)] = graph
    rows = measure_all(models, work / RESULT.name)
    measured = {name: rows[name] for name in models}
    write_result(RESULT, {"steps": options.steps, "pairs of a step": QUERIES * DOCUMENTS, "rows": measured})
    print(table(measured))


if __name__ == "__main__":
    main()
