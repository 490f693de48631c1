"""Recipe files are YAML 1.2 without repeated keys; those that ship are found by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.errors import PlackettError, SettingError
from plackett.training.recipe import read_recipe
from plackett.training.recipe_file import override, read_text, shipped_recipes

PLAIN = "base: b\ntrain: x.jsonl\noutput: o\n"


@pytest.fixture
def recipe_of(tmp_path):
    def read(text, *overrides):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return read_recipe(path, overrides)

    return read


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_found_by_its_name(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read_recipe(name).train
    assert read_text(name).startswith("#")


def test_a_file_goes_before_a_shipped_recipe_of_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").write_text(PLAIN)
    assert read_recipe("lists").base == "b"


def test_an_unknown_name_lists_the_shipped_recipes(tmp_path):
    with pytest.raises(SettingError, match="long-documents"):
        read_recipe(tmp_path / "lsts")


def test_a_loss_may_be_its_name(recipe_of):
    assert recipe_of(f"{PLAIN}loss: list_mle\n").loss == {"name": "list_mle"}
    assert recipe_of(f"{PLAIN}loss: list_mle\n", "loss.ties=breslow").loss == {"name": "list_mle", "ties": "breslow"}
    assert recipe_of(PLAIN, "loss.ties=breslow").loss == {"name": "p_list_mle", "ties": "breslow"}
    assert recipe_of(PLAIN, "loss=list_net").loss == {"name": "list_net"}


@pytest.mark.parametrize(
    ("text", "line"),
    [(f"{PLAIN}base: c\n", 4), (f"{PLAIN}training:\n  seed: 1\n  max_steps: 3\n  seed: 2\n", 7)],
)
def test_a_repeated_key_is_an_error_with_its_line(recipe_of, text, line):
    with pytest.raises(SettingError, match=rf"line {line}.*twice"):
        recipe_of(text)


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 100_000, f"{PLAIN}lora: &a {{r: *a}}\n", "- 1\n", "a: \x00\n", "a: b: c"]
)
def test_text_that_is_no_recipe_is_named(recipe_of, text):
    with pytest.raises(SettingError):
        recipe_of(text)


def test_a_deep_override_is_an_error():
    with pytest.raises(SettingError):
        override({}, "training.x=" + "[" * 100_000)


@pytest.mark.parametrize("name", ["2024", "a: b", "x #1", "no", "1e-4", "[a]"])
def test_a_text_on_the_command_line_is_taken_as_it_is(recipe_of, name):
    assert recipe_of(PLAIN, f"output={name}").output == name
    assert recipe_of(PLAIN, f'output="{name}"').output == name


def test_words_that_yaml_1_1_takes_for_something_else_are_texts(recipe_of):
    recipe = recipe_of(f"{PLAIN}language: no\ndescription: 2024-01-31\ntraining: {{eval_strategy: no}}\n")
    assert recipe.language == ("no",)
    assert recipe.description == "2024-01-31"
    assert recipe.training == {"eval_strategy": "no"}
    assert recipe_of(f"{PLAIN}streaming: true\n").streaming is True
    assert recipe_of(f"{PLAIN}training: {{learning_rate: 1e-4}}\n").training == {"learning_rate": 0.0001}


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("08", 8), ("0o20", 16), ("0x10", 16), ("+5", 5)])
def test_whole_numbers_are_those_of_yaml_1_2(recipe_of, text, value):
    assert recipe_of(f"{PLAIN}list_size: {text}\n").list_size == value
    assert recipe_of(PLAIN, f"training.max_steps={text}").training == {"max_steps": value}


@pytest.mark.parametrize("setting", ["list_size=1:30", "list_size=1_0", "list_size=0b11", "depth=1:30.5", "depth=true"])
def test_what_yaml_1_1_takes_for_a_whole_number_is_none(recipe_of, setting):
    with pytest.raises(SettingError, match=f"{setting.partition('=')[0]} is .*not a whole number"):
        recipe_of(PLAIN, setting)


@pytest.mark.parametrize("train", ["[a, a]", "{a: true}", "{a: '1'}", "{a: .inf}", "[1]"])
def test_a_share_that_would_be_guessed_is_refused(recipe_of, train):
    with pytest.raises(SettingError, match="train"):
        recipe_of(f"base: b\noutput: o\ntrain: {train}\n")


def test_a_measure_may_stand_alone(recipe_of):
    assert recipe_of(f"{PLAIN}measures: nDCG@5\n").measures == ("nDCG@5",)


def test_a_tilde_is_the_home_folder(recipe_of, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    recipe = recipe_of("base: ~/b\ntrain: ~/x.jsonl\noutput: ~/o\ndev: ~/d\n")
    assert (recipe.base, recipe.output, recipe.dev) == ("/home/ada/b", "/home/ada/o", ("/home/ada/d",))
    assert list(recipe.train) == ["/home/ada/x.jsonl"]


@given(st.text(max_size=40))
def test_any_override_gives_values_or_our_error(text):
    try:
        override({"base": "b", "loss": {"name": "mse"}}, text)
    except PlackettError:
        return
