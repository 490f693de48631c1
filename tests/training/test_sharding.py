"""Training with FSDP and DeepSpeed ends with the weights of DDP."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.numpy import load_file

from plackett.cross_encoder import CrossEncoder
from plackett.errors import CheckpointError, MissingExtraError, SettingError
from plackett.training.arguments import training_arguments
from plackett.training.recipe import make_recipe
from plackett.training.sharding import check_not_over, check_sharding, own_scores

WORDS = ["apple", "pear", "plum", "fig", "lime"]
STAND_IN = str(Path(__file__).with_name("sharded_plackett.py"))
GATHER = {"stage3_gather_16bit_weights_on_model_save": True}
FSDP = {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": ["BertLayer"]}}


def zero(stage):
    sizes = ("train_micro_batch_size_per_gpu", "train_batch_size", "gradient_accumulation_steps")
    as_in_training = dict.fromkeys((*sizes, "gradient_clipping"), "auto")  # accelerate clips at 1 where nothing is said
    return {"deepspeed": {"zero_optimization": {"stage": stage, **GATHER}, **as_in_training}}


@pytest.fixture(scope="module")
def trained(bert, tmp_path_factory):
    """`trained(name, extra, *options)`: the folder that two processes write, with extra training arguments."""
    folder = tmp_path_factory.mktemp("sharded")
    data = folder / "lists.jsonl"
    lists = [  # of different lengths, so that the two need different numbers of micro-batches
        {"query": WORDS[i % 5], "docs": [f"the {WORDS[(i + j) % 5]} {i}" for j in range(2 + i % 3)]}
        | {"labels": [1.0] + [0.0] * (1 + i % 3)}
        for i in range(24)
    ]
    data.write_text("\n".join(map(json.dumps, lists)))

    def trained(name, extra, *options):
        training = {"max_steps": 5, "per_device_train_batch_size": 4, "learning_rate": 0.01}
        training |= {"adam_epsilon": 1e-3}  # else Adam blows up the rounding of gradients that should be 0
        training |= {"bf16": False, "eval_strategy": "steps", "eval_steps": 2, "max_grad_norm": 0.0}
        training |= {"save_strategy": "steps", "save_steps": 3}
        recipe = {"base": str(bert), "train": str(data), "dev": str(data), "output": str(folder / name)}
        recipe |= {"token_budget": 40, "dropout": 0.1, "list_size": 3, "training": training | extra}
        path = folder / f"{name}.json"
        path.write_text(json.dumps(recipe))
        launched = [STAND_IN] if "fsdp" in extra else ["-m", "plackett"]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
        command = [*launcher, *launched, "train", str(path), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        return folder / name

    return trained


@pytest.fixture(scope="module")
def plain(trained):
    return trained("plain", {})


def assert_equal(output, plain):
    expected = load_file(plain / "model.safetensors")
    weights = load_file(output / "model.safetensors")
    assert weights.keys() == expected.keys()
    for name in expected:
        assert abs(weights[name] - expected[name]).max() < 2e-6, name
    assert measured(output) == pytest.approx(measured(plain))
    assert measured(output).keys() == {0, 2, 4, 5}


def measured(output):
    state = output.with_name(f"{output.name}-training") / "checkpoint-5" / "trainer_state.json"
    log = json.loads(state.read_text(encoding="utf-8"))["log_history"]
    return {entry["step"]: entry["eval_lists.jsonl_AP"] for entry in log if "eval_lists.jsonl_AP" in entry}


needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed; `make sharded` tests with it"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(FSDP, id="fsdp"),
        *[pytest.param(zero(stage), id=f"zero-{stage}", marks=needs_deepspeed) for stage in (1, 2, 3)],
    ],
)
def test_shards_train_and_go_on_like_ddp(trained, plain, extra, request):
    name = request.node.callspec.id
    output = trained(name, extra)
    assert_equal(output, plain)
    for checkpoint in (output, output.with_name(f"{name}-training") / "checkpoint-3"):
        assert CrossEncoder(checkpoint).predict([("apple", "the apple")]).shape == (1,)
    shutil.rmtree(output)
    shutil.rmtree(output.with_name(f"{name}-training") / "checkpoint-5")
    assert_equal(trained(name, extra, "--resume"), plain)


def recipe_with(training, **settings):
    return make_recipe({"base": "b", "train": "x", "output": "o", "training": training | {"bf16": False}} | settings)


def test_fsdp_that_would_be_ignored_is_an_error(monkeypatch):
    asked = recipe_with(FSDP)
    with pytest.raises(SettingError, match="FSDP"):
        check_sharding(asked, training_arguments(asked))
    silent = recipe_with({})
    check_sharding(silent, training_arguments(silent))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # as accelerate launch sets it
    with pytest.raises(SettingError, match="FSDP"):
        check_sharding(silent, training_arguments(silent))


def test_deepspeed_that_is_missing_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(MissingExtraError, match=r"'plackett\[deepspeed\]'"):
        training_arguments(recipe_with(zero(2)))


def test_a_finished_training_in_shards_says_where_it_is():
    accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=3)))
    with pytest.raises(CheckpointError, match="checkpoint-5"):
        check_not_over(accelerator, Path("checkpoint-5"))
    accelerator.state.deepspeed_plugin.zero_stage = 2
    check_not_over(accelerator, Path("checkpoint-5"))


@pytest.mark.parametrize(
    ("asked", "settings", "message"),
    [
        ({"stage": 3}, {}, "stage3_gather_16bit_weights_on_model_save"),
        ({"stage": 3, **GATHER}, {"lora": {"r": 2}}, "adapters"),
        ({"stage": 3, **GATHER}, {"cached_gradients": True}, "cached_gradients"),
        ({"stage": 2}, {"cached_gradients": True}, "cached_gradients"),
        ({"stage": 3, **GATHER}, {}, None),
        ({"stage": 2}, {"lora": {"r": 2}}, None),
        ({"stage": 1}, {"cached_gradients": True, "lora": {"r": 2}}, None),
    ],
)
def test_what_zero_cannot_do_is_said_before_the_training(asked, settings, message, monkeypatch):
    recipe = recipe_with({}, **settings)
    arguments = training_arguments(recipe)
    as_read = SimpleNamespace(config={"zero_optimization": asked})  # what deepspeed's configuration becomes
    monkeypatch.setattr(arguments, "hf_deepspeed_config", as_read, raising=False)
    if message is None:
        return check_sharding(recipe, arguments)
    with pytest.raises(SettingError, match=message):
        check_sharding(recipe, arguments)


def test_scores_of_added_micro_batches_count_nothing_and_stay_in_the_graph():
    scores = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    own = own_scores(scores, 2)
    assert own.tolist() == [1.0, 2.0]
    own.sum().backward()
    assert scores.grad.tolist() == [1.0, 1.0, 0.0]
