"""Recipes are read with their overrides; a mistake in one is named."""

import pytest
import torch

from plackett.errors import SettingError
from plackett.losses import LOSSES
from plackett.recipes import loss_function, read_recipe
from plackett.training import training_arguments


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
        ("layers=two", "layers.*integer"),
        ("loss.name=p_listmle", "did you mean 'p_list_mle'"),
        ("loss.wieght=x", "wieght"),
        ("loss.weight=reciprocal_lgo", "reciprocal_log"),
        ("training.learning_rat=1", "did you mean 'learning_rate'"),
        ("training.lr_scheduler_type=liner", "linear"),
        ("noequals", "key=value"),
        ("output.x=1", "holds no keys"),
        ("list_size=1", "list_size.*greater than or equal to 2"),
        ("base=", "base"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path, override, message):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: b\ntrain: x.jsonl\noutput: o\nloss: {name: p_list_mle}\n")
    with pytest.raises(SettingError, match=message):
        training_arguments(read_recipe(path, [override]))


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
