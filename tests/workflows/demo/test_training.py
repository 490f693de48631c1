"""The demo's data is honest and its run, with a tiny base, goes from nothing to a ranking."""

import re

import pytest

from plackett.bi_encoder import BiEncoder
from plackett.cli.group import commands
from plackett.data import read_collection, read_lists
from plackett.training.recipe import read_recipe
from plackett.workflows.demo import training as demo
from plackett.workflows.demo.pydocs import held_out_modules, read_objects

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def objects():
    return read_objects()


@pytest.fixture(scope="module")
def split(objects):
    held_out = held_out_modules(objects, demo.HELD_OUT, seed=0)
    return (
        [item for item in objects if item.module not in held_out],
        [item for item in objects if item.module in held_out],
    )


@pytest.fixture(scope="module")
def pool(split):
    return demo.training_objects(*split)


@pytest.fixture(scope="module")
def teacher(bert):
    return BiEncoder(bert, max_length=16)


@pytest.fixture(scope="module")
def lists(split, pool, teacher):
    return demo.training_lists(pool, len(split[0]), teacher, seed=0)


def test_packages_add_objects_and_nothing_that_repeats_the_held_out_ones(split, pool):
    train, test = split
    assert pool[: len(train)] == train
    assert len(pool) > 1.5 * len(train)
    assert len({item.query for item in pool}) == len(pool)
    tested = " ".join(f"{item.query} {item.document}" for item in test).lower()
    for item in pool[len(train) :]:
        assert not (len(item.query.split()) >= 6 and f"{item.query.lower()} " in tested), item


def test_training_lists_go_from_easy_to_hard_and_hold_nothing_of_the_held_out_modules(lists, split, pool):
    _, test = split
    by_document = {item.document: item for item in pool}
    assert len(lists) == len({made.query for made in lists}) == demo.LISTS >= 1000
    assert {item.document for item in test}.isdisjoint(document for made in lists for document in made.documents)
    for made in lists:
        assert len(set(made.documents)) == 8
        assert by_document[made.documents[0]].query == made.query

    def shared_words(part):
        pairs = [(set(made.query.split()), set(made.documents[-1].split())) for made in part]
        return sum(len(query & document) / len(query) for query, document in pairs)

    third = demo.LISTS // 3
    assert shared_words(lists[-third:]) > 1.25 * shared_words(lists[:third])


def test_training_lists_are_a_function_of_the_seed(teacher, pool, monkeypatch):
    monkeypatch.setattr(demo, "LISTS", 30)
    first, again, other = (demo.training_lists(pool, 20, teacher, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_labels_are_the_teachers_opinion_and_what_is_known(lists, teacher):
    for made in lists[::100]:
        query, *documents = teacher.embed([made.query, *made.documents])
        expected = [demo.SCALE * (query @ document) for document in documents]
        expected[0] += demo.BONUS
        assert made.labels == pytest.approx(expected, abs=1e-3)


def test_the_test_collection_judges_every_query_whether_bm25_found_it_or_not(objects):
    held_out = held_out_modules(objects, demo.HELD_OUT, seed=0)
    test = [item for item in objects if item.module in held_out]
    collection = demo.test_collection(objects, test)
    assert len(collection.queries) == len(test) >= 200
    assert len(collection.corpus) == len(objects)
    assert {qrel.query_id for qrel in collection.qrels if qrel.relevance == 2} == set(collection.queries)
    parents = {item.name: item.parent for item in objects}
    for qrel in collection.qrels:
        assert (qrel.relevance == 2) == (qrel.doc_id == qrel.query_id)
        assert parents[qrel.doc_id] == parents[qrel.query_id]


def test_the_demo_runs_from_nothing_to_a_ranking(bert, tmp_path, monkeypatch, capsys):
    few = {"max_steps": 2, "per_device_train_batch_size": 2, "bf16": False}
    monkeypatch.setitem(demo.RECIPE, "training", few)
    monkeypatch.setattr(demo, "HELD_OUT", 0.01)
    monkeypatch.setattr(demo, "TEACHER", str(bert))
    demo.run(str(bert), tmp_path / "demo", seed=3)
    output = capsys.readouterr().out
    held_out = re.search(r"with (\d+) objects are held out", output)
    assert held_out
    assert f"test: {held_out[1]} queries, first 50 candidates reranked" in output
    assert output.count("  plackett ") == 3
    recipe = read_recipe(tmp_path / "demo" / "recipe.yaml")
    assert recipe.training["seed"] == 3
    assert len(list(read_lists(tmp_path / "demo" / "train.jsonl"))) >= 1000
    assert read_collection(tmp_path / "demo" / "test").qrels
    assert (tmp_path / "demo" / "model" / "README.md").is_file()
    for line in (line.split() for line in output.splitlines() if line.startswith("  plackett ")):
        assert line[1] in commands.commands
