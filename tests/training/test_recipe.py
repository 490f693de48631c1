"""Recipes are read with their overrides; a mistake in one is named."""

import json
import math
import random
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from peers import cross_encoder as reference
from peers import losses
from plackett import CrossEncoder, MissingExtraError
from plackett.checkpoints.folder import read_base, read_checkpoint
from plackett.data import read_lists, write_beir, write_lists
from plackett.errors import SettingError
from plackett.losses import LOSSES
from plackett.models.classifier import load_model
from plackett.records import Collection, LabeledList, Qrel
from plackett.retrieval.bm25 import Splitting
from plackett.retrieval.first_stage import FirstStageSettings
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.training.arguments import training_arguments
from plackett.training.collator import ListCollator
from plackett.training.recipe import first_stage_of, loss_function, make_recipe, read_recipe, without_paths
from plackett.training.sampling import Part, hold_out
from plackett.training.trainer import ListTrainer
from plackett.workflows.train import _collections, _part
from plackett.workflows.train import train as run_recipe


def test_a_recipe_is_read_with_its_overrides(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: [x.jsonl, y.jsonl]\noutput: o\nloss: {name: list_mle}\n")
    recipe = read_recipe(path, ["training.learning_rate=1e-3", "layers=2", "loss={name: p_list_mle, normalise: true}"])
    assert recipe.train == {"x.jsonl": 1, "y.jsonl": 1}
    assert recipe.layers == 2
    assert recipe.loss == {"name": "p_list_mle", "normalise": True}
    assert training_arguments(recipe).learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lyers=2", "did you mean 'layers'"),
        ("layers=two", "layers.*not a whole number"),
        ("loss.name=p_listmle", "did you mean 'p_list_mle'"),
        ("loss.wieght=x", "wieght"),
        ("loss.weight=reciprocal_lgo", "reciprocal_log"),
        ("training.learning_rat=1", "did you mean 'learning_rate'"),
        ("training.lr_scheduler_type=liner", "linear"),
        ("noequals", "key=value"),
        ("output.x=1", "has no keys"),
        ("list_size=1", "list_size.*greater than or equal to 2"),
        ("base=", "base"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path, override, message):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: x.jsonl\noutput: o\nloss: {name: p_list_mle}\n")
    with pytest.raises(SettingError, match=message):
        training_arguments(read_recipe(path, [override]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('description="\\ud800"', "surrogate"),
        ("training.output_dir=''", "output_dir is empty"),
        ("training.output_dir=b/inside", "inside the input"),
    ],
)
def test_what_would_end_a_training_late_ends_it_before_it_begins(tmp_path, monkeypatch, override, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "recipe.yaml").write_text("base: b\ntrain: x.jsonl\noutput: o\n")
    with pytest.raises(SettingError, match=message):
        training_arguments(read_recipe("recipe.yaml", [override]))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "base: [\n", "\x00"])
def test_a_recipe_that_is_no_yaml_mapping_is_named(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"recipe\.yaml"):
        read_recipe(path)


@pytest.mark.parametrize("settings", [{"name": "p_list_mle"}, {"name": "list_mle", "ties": "breslow"}])
def test_a_loss_with_its_options_is_a_function_of_scores_labels_and_mask(settings):
    scores, labels, mask = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, 2.0]]), torch.ones(1, 3).bool()
    options = {key: value for key, value in settings.items() if key != "name"}
    expected = LOSSES[settings["name"]](scores, labels, mask, **options)
    assert loss_function(settings)(scores, labels, mask) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.wieght=x", "unknown option of the loss p_list_mle 'wieght'; did you mean 'weight'"),
        ("loss={name: mse, scale: 2}", "unknown option of the loss mse 'scale'"),
        ("negatives=hardest", "negatives"),
        ("early_stopping=2", "metric_for_best_model"),
        ("hold_out=0", "hold_out"),
        ("training.learning_rate=fast", "learning_rate is 'fast', not a number"),
        ("training.bf16=3", "bf16 is 3, not true or false"),
        ("training.num_train_epochs=true", "num_train_epochs is True, not a number"),
        ("training.report_to=tensorbord", "did you mean 'tensorboard'"),
        ("training.eval_strategy=step", "steps"),
        ("training.load_best_model_at_end=true", "metric_for_best_model"),
    ],
)
def test_a_mistake_in_the_options_is_named(tmp_path, override, message):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: x.jsonl\noutput: o\nloss: {name: p_list_mle}\n")
    with pytest.raises(SettingError, match=message):
        training_arguments(read_recipe(path, [override]))


def test_a_stream_cannot_be_held_out_from(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: x.jsonl\noutput: o\nstreaming: true\nhold_out: 3\n")
    with pytest.raises(SettingError, match=r"hold_out.*stream"):
        read_recipe(path)


@pytest.mark.parametrize(("logger", "extra"), [("tensorboard", "tensorboard"), ("trackio", "trackio")])
def test_a_logger_that_is_missing_names_its_extra(monkeypatch, logger, extra):
    monkeypatch.setitem(sys.modules, logger, None)
    recipe = make_recipe({"base": "b", "train": "x", "output": "o", "training": {"report_to": [logger]}})
    with pytest.raises(MissingExtraError, match=rf"pip install 'plackett\[{extra}\]'"):
        training_arguments(recipe)


def test_fsdp_and_deepspeed_reach_the_training_arguments(tmp_path):
    training = {"fsdp": "full_shard", "fsdp_config": {"version": 2}}
    arguments = training_arguments(make_recipe({"base": "b", "train": "x", "output": "o", "training": training}))
    assert arguments.fsdp
    assert arguments.fsdp_config["version"] == 2


# The recipes that come with Plackett.

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src" / "plackett" / "recipes"
RECIPES = sorted([*SHIPPED.glob("*.yaml"), *ROOT.glob("**/recipes/default*.yaml")])
REFERENCE = SHIPPED / "reference-msmarco-plistmle.yaml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_key_of_a_recipe_is_explained(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(["", *lines]):
        assert "#" in line or before.strip().startswith("#") or line == "loss:", line


def ms_marco_rows(count):
    """Rows in the columns of MS MARCO v1.1. Every fifth has no selected passage, every third has two."""
    rows = []
    for number in range(count):
        texts = [f"passage {j} about sorting words {number}" for j in range(2 + number % 4)]
        selected = [0] * len(texts)
        if number % 5:
            selected[number % len(texts)] = 1
            selected[-1] |= int(number % 3 == 0)
        passages = {"passage_text": texts, "is_selected": selected, "url": ["u"] * len(texts)}
        rows.append({"query": f"how to sort {number}", "passages": passages, "query_id": number, "answers": ["a"]})
    return rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small files in the forms that the recipes name."""
    folder = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    lists = [
        LabeledList(f"sort {i}", tuple(f"words {i} {j}" for j in range(6)), (3.0, 1.0, 0.0, 2.0, 0.0, 1.0))
        for i in range(6)
    ]
    write_lists(folder / "my-lists.jsonl", lists)
    write_lists(folder / "graded.jsonl", lists)
    taught = [LabeledList(item.query, item.documents, tuple(rng.gauss(0, 4) for _ in item.labels)) for item in lists]
    of_default = {name for path in RECIPES if path.stem.startswith("default") for name in read_recipe(path).train}
    for name in ("distil.jsonl", *of_default):
        write_lists(folder / Path(name).name, taught)
    pq.write_table(pa.Table.from_pylist(ms_marco_rows(40)), folder / "train-00000-of-00001.parquet", row_group_size=7)
    write_nanobeir(folder / "NanoBEIR")
    return folder


def write_nanobeir(folder):
    """The three collections that the reference measures, in the layout of the hub."""
    documents = [{"_id": str(i), "text": f"passage about sorting {i}"} for i in range(4)]
    for name in ("NanoMSMARCO", "NanoNFCorpus", "NanoNQ"):
        parts = {
            "corpus": documents,
            "queries": [{"_id": "q", "text": f"sorting {name}"}],
            "qrels": [{"query-id": "q", "corpus-id": ["2"]}],
            "bm25": [{"query-id": "q", "corpus-ids": ["0", "2", "3"]}],
        }
        for part, rows in parts.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), folder / part / f"{name}-00000-of-00001.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(bert, data, tmp_path, path):
    recipe = read_recipe(path)
    small = {"max_steps": 2, "bf16": False, "per_device_train_batch_size": 3}
    if recipe.hold_out:
        small |= {"eval_steps": 1, "save_steps": 1, "logging_steps": 1}
    files = [str(data / Path(name).name) for name in recipe.train]
    changes = {"base": bert, "train": json.dumps(files), "output": tmp_path / "model", "max_length": 64}
    if recipe.hold_out:
        changes |= {"hold_out": 5, "dev": data / "NanoBEIR", "test": data / "NanoBEIR"}
    if recipe.lora:
        changes |= {"lora.target_modules": "[query, value]"}  # as BERT calls them
    changes |= {f"training.{key}": value for key, value in small.items()}
    output = run_recipe(path, [f"{key}={value}" for key, value in changes.items()]).folder
    assert CrossEncoder(output).predict([("sort words", "words")]).shape == (1,)
    written = json.loads((output / "recipe.json").read_text())
    assert written["loss"]["name"] in (output / "README.md").read_text()
    assert written["training"].keys() >= read_recipe(path).training.keys()
    if recipe.dev:
        log = json.loads((output / "plackett.json").read_text())["training"]["log"]
        measured = [entry for entry in log if "eval_mean_nDCG@10" in entry]
        assert len(measured) == 3
        for entry in measured:
            three = [entry[f"eval_{name}_nDCG@10"] for name in ("NanoMSMARCO", "NanoNFCorpus", "NanoNQ")]
            assert entry["eval_mean_nDCG@10"] == pytest.approx(sum(three) / 3)
            assert "eval_held-out_nDCG@10" in entry


# The reference.


def test_the_reference_holds_what_the_card_says():
    recipe = read_recipe(REFERENCE)
    assert recipe.dev == recipe.test == ("nanobeir:msmarco,nfcorpus,nq",)
    names = ("NanoMSMARCO", "NanoNFCorpus", "NanoNQ", "held-out")
    arguments = training_arguments(recipe, [Collection(name, {}, {}, (), ()) for name in names])
    assert recipe.base == "microsoft/MiniLM-L12-H384-uncased"
    assert recipe.hold_out == 1000
    assert (arguments.num_train_epochs, arguments.learning_rate, arguments.warmup_steps) == (1, 2e-5, 0.1)
    assert (arguments.per_device_train_batch_size, arguments.per_device_eval_batch_size) == (16, 16)
    assert (arguments.eval_steps, arguments.save_steps, arguments.logging_steps) == (500, 500, 250)
    assert (arguments.seed, arguments.bf16, arguments.save_total_limit) == (12, True, 2)
    assert arguments.load_best_model_at_end
    assert arguments.eval_on_start
    assert arguments.metric_for_best_model == "mean_nDCG@10"


def test_the_reference_reads_rows_as_the_card_does(data):
    path = data / "train-00000-of-00001.parquet"
    lists = list(read_lists(path))
    rows = [row for row in ms_marco_rows(40) if any(row["passages"]["is_selected"])]
    assert len(lists) == len(rows) == 32  # every fifth of 40 is dropped
    for item, row in zip(lists, rows, strict=True):
        texts, selected = row["passages"]["passage_text"], row["passages"]["is_selected"]
        chosen = [text for text, label in zip(texts, selected, strict=True) if label]
        others = [text for text, label in zip(texts, selected, strict=True) if not label]
        assert item.query == row["query"]
        assert item.documents == (*chosen, *others)
        assert item.labels == (*[1.0] * len(chosen), *[0.0] * len(others))
    parts, held_out = hold_out([Part(lists)], 5, seed=12)
    assert len(held_out) == 5
    assert sorted([*held_out, *parts[0].lists], key=lists.index) == lists
    assert hold_out([Part(lists)], 5, seed=12)[1] == held_out != hold_out([Part(lists)], 5, seed=13)[1]


@pytest.mark.peer
def test_a_step_of_the_reference_has_the_loss_of_sentence_transformers(bert, data, tmp_path):
    lists = list(read_lists(data / "train-00000-of-00001.parquet"))[:6]
    assert len({len(item.documents) for item in lists}) > 1
    changes = {"base": bert, "output": tmp_path / "model", "training.bf16": "false"}
    changes |= {"training.eval_strategy": '"no"', "training.load_best_model_at_end": "false"}
    recipe = replace(read_recipe(REFERENCE, [f"{key}={value}" for key, value in changes.items()]))
    recipe = replace(recipe, training={k: v for k, v in recipe.training.items() if k != "metric_for_best_model"})
    base = read_base(bert)
    model = load_model(read_checkpoint(bert)).eval()
    trainer = ListTrainer(recipe, base, model, training_arguments(recipe), [Part(lists)])
    collate = ListCollator(PairTokenizer.from_checkpoint(base), base, recipe.token_budget, recipe.mini_batch_size)
    batch = collate(lists)
    assert {len(part["input_ids"]) for part in batch["micro_batches"]} >= {16}
    ours = trainer.compute_loss(model, batch)

    theirs = reference.CrossEncoder(str(bert), device="cpu").eval()
    weight = losses.PListMLELambdaWeight(lambda mask: (1 / torch.log1p(mask.cumsum(-1))).masked_fill(~mask, 0))
    loss = losses.PListMLELoss(theirs, lambda_weight=weight, mini_batch_size=16, respect_input_order=True)
    each = []
    for item in lists:  # theirs divides each list by the sum of its weights, the card did not
        normalised = loss([[item.query], [list(item.documents)]], [torch.tensor(item.labels)])
        each.append(normalised * sum(1 / math.log(1 + rank) for rank in range(1, len(item.documents) + 1)))
    torch.testing.assert_close(ours, torch.stack(each).mean(), rtol=1e-5, atol=1e-5)


def test_columns_of_a_spreadsheet_are_trained_on(tmp_path):
    (tmp_path / "clicks.csv").write_text("q,d,hits\none,a,1\none,b,0\n")
    recipe = make_recipe(
        {
            "base": "x",
            "train": [str(tmp_path / "clicks.csv")],
            "output": "y",
            "columns": {"query": "q", "document": "d", "label": "hits"},
        }
    )
    [name] = recipe.train
    assert list(_part(name, 1.0, recipe).lists) == [LabeledList("one", ("a", "b"), (1.0, 0.0))]


SPREADSHEET = {"query": "q", "document": "d", "label": "hits"}


def test_dev_and_test_take_the_columns_that_they_have(tmp_path):
    (tmp_path / "clicks.csv").write_text("q,d,hits\none,a,1\none,b,0\n")
    (tmp_path / "lists.jsonl").write_text('{"query": "two", "docs": ["a", "b"], "labels": [1, 0]}\n')
    write_beir(tmp_path / "beir", Collection("", {"q": "three"}, {"d": "three"}, [Qrel("q", "d", 1)], ()))
    names = [str(tmp_path / name) for name in ("clicks.csv", "lists.jsonl", "beir")]
    recipe = make_recipe({"base": "x", "train": "y", "output": "z", "columns": SPREADSHEET, "dev": names})
    found = _collections(recipe.dev, recipe)
    assert [[*item.queries.values()] for item in found] == [["one"], ["two"], ["three"]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("bm25", FirstStageSettings()),
        ({"stemmer": "english", "ngrams": 0}, FirstStageSettings(splitting=Splitting(stemmer="english", ngrams=0))),
        ({"language": "none"}, FirstStageSettings(splitting=Splitting(language="none"))),
        ("bi_encoder:~/models/x", FirstStageSettings(name=f"bi_encoder:{Path.home()}/models/x")),
    ],
)
def test_the_first_stage_of_a_recipe(given, expected):
    recipe = make_recipe({"base": "x", "train": "y", "output": "z", "first_stage": given})
    assert first_stage_of(recipe.first_stage) == expected


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("first_stage=bm52", "bm25"),
        ("first_stage.langauge=german", "language"),
        ("first_stage.language=germann", "german"),
        ("first_stage.ngrams=two", "first_stage.ngrams"),
        ("first_stage=3", "first_stage"),
    ],
)
def test_a_mistake_in_the_first_stage_is_named(tmp_path, override, named):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: x.jsonl\noutput: o\n")
    with pytest.raises(SettingError, match=named):
        read_recipe(path, [override])


def test_the_first_stage_ranks_dev_and_test_anew(tmp_path, bert):
    (tmp_path / "lists.jsonl").write_text('{"query": "apple", "docs": ["a pear", "an apple"], "labels": [0, 1]}\n')
    values = {"base": "x", "train": "y", "output": "z", "test": str(tmp_path / "lists.jsonl")}
    order = {}
    for stage in (None, "bm25", f"bi_encoder:{bert}"):
        recipe = make_recipe({**values, "first_stage": stage})
        [collection] = _collections(recipe.test, recipe)
        order[stage] = [collection.corpus[scored.doc_id] for scored in collection.run]
        assert (collection.origin.first_stage == "the order in the file") == (stage is None)
    assert order[None] == ["a pear", "an apple"]
    assert order["bm25"] == ["an apple"]
    assert sorted(order[f"bi_encoder:{bert}"]) == sorted(order[None])


def test_paths_of_the_first_stage_are_names_for_others(tmp_path):
    for name, short in ((f"bi_encoder:{tmp_path}/x", "bi_encoder:x"), ("bi_encoder:org/x", "bi_encoder:org/x")):
        recipe = make_recipe({"base": "x", "train": "y", "output": "z", "first_stage": {"name": name}})
        values = without_paths(json.loads(json.dumps(asdict(recipe))), base="")
        assert values["first_stage"] == {"name": short}
