"""What more training brings the embedded model, what fewer layers cost, and what a published recipe makes of its data.

    PLACKETT_DATA=... python -m default_model.curve WORK_FOLDER [--seed 0]

The first stage of the embedded model with fewer steps than it has, each with a learning rate of its own that falls to
0; that stage cut to its first layers and trained on, its lists holding the teachers' labels; and the reference card's
recipe, position-weighted ListMLE of judged answers only, on the same MS MARCO queries and the same base. All are
measured on the development sets of development.py. Results are in default_model/results/curve.json, .md
and .png; WORK_FOLDER may be that of make.py.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from default_model import development
from default_model.lists import TEACHER
from default_model.make import MSMARCO, RECIPES, ROOT, settings, train_stage
from plackett.training.recipe import read_recipe
from plackett.workflows.train import train as run_recipe

RESULT = Path(__file__).parent / "results" / "curve.json"
STAGE = "default-start"
RECIPE = RECIPES / f"{STAGE}.yaml"
FEWER_STEPS = (500, 1000)
LAYERS = (4, 3)
LAYERS_STEPS = 300
REFERENCE = "reference-msmarco-plistmle"
# The card's recipe but for the base and the lists (ten passages of each, as it has), and nothing is measured on the
# way. Its rows have the selected passage first; ours do not, so that labels come before the order of a row.
REFERENCE_SETTINGS = (
    f"base={TEACHER}",
    "list_size=10",
    "max_length=160",
    "loss.respect_input_order=false",
    "hold_out=null",
    "dev=[]",
    "test=[]",
    "training.eval_strategy='no'",
    "training.save_strategy='no'",
    "training.metric_for_best_model=null",
    "training.eval_on_start=false",
    "training.load_best_model_at_end=false",
)


def curve(data: Path, work: Path, seed: int) -> dict[int, Path]:
    """The first stage by its steps."""
    whole = {read_recipe(RECIPE).training["max_steps"]: train_stage(data, work, STAGE, None, seed)}
    fewer = {steps: work / f"{STAGE}-{steps}-steps-{seed}" for steps in FEWER_STEPS}
    for steps, model in fewer.items():
        train(RECIPE, model, [*settings(work, STAGE, None, model, seed), f"training.max_steps={steps}"])
    return fewer | whole


def cut(work: Path, whole: Path, seed: int) -> dict[int, Path]:
    """The first stage by its layers, trained on after the cut."""
    models = {layers: work / f"{STAGE}-{layers}-layers-{seed}" for layers in LAYERS}
    for layers, model in models.items():
        fewer = [f"layers={layers}", f"training.max_steps={LAYERS_STEPS}"]
        train(RECIPE, model, [*settings(work, STAGE, whole, model, seed), *fewer])
    return models


def reference(data: Path, work: Path, seed: int) -> Path:
    model = work / f"{REFERENCE}-{seed}"
    files = [f"train={data / MSMARCO}", f"output={model}", f"training.seed={seed}"]
    train(ROOT / "recipes" / f"{REFERENCE}.yaml", model, [*files, *REFERENCE_SETTINGS])
    return model


def train(recipe: Path, model: Path, overrides: list[str]) -> None:
    """What is there already is not made again."""
    if not model.is_dir():
        run_recipe(recipe, overrides)


def plot(pairs: Sequence[int], rows: Sequence[Mapping[str, float]], level: Mapping[str, float], path: Path) -> None:
    """Every development set against the pairs that were trained on, and the bi-encoder's level."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    for number, (name, measure) in enumerate(development.MEASURES.items()):
        axis.plot(pairs, [row[name] for row in rows], "o-", color=f"C{number}", label=f"{name}, {measure}")
        axis.axhline(level[name], color=f"C{number}", linestyle=":")
    axis.set(xscale="log", xlabel="pairs trained on", ylabel="development set")
    axis.set_xticks(pairs, [f"{count:,}" for count in pairs])
    axis.minorticks_off()
    axis.set_title("the first stage of the embedded model; dotted: the bi-encoder, its main teacher", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = Path(os.environ["PLACKETT_DATA"])
    by_steps = curve(data, options.work, options.seed)
    whole = by_steps[max(by_steps)]
    models = {f"{steps} steps": model for steps, model in by_steps.items()}
    for layers, model in cut(options.work, whole, options.seed).items():
        models[f"{max(by_steps)} steps, first {layers} layers, {LAYERS_STEPS} steps"] = model
    models["reference recipe"] = reference(data, options.work, options.seed)
    rows = development.measure_all(models, RESULT, precision="bf16")
    recipe = read_recipe(RECIPE)
    a_step = recipe.training["per_device_train_batch_size"] * recipe.list_size
    on_curve = [rows[f"{steps} steps"] for steps in by_steps]
    plot([steps * a_step for steps in by_steps], on_curve, rows["bi-encoder"], RESULT.with_suffix(".png"))


if __name__ == "__main__":
    main()
