"""`plackett train`."""

import contextlib
from collections.abc import Iterator

import click

from plackett._extras import extra
from plackett.cli.options import say
from plackett.errors import HubError


@click.command()
@click.argument("recipe", required=False)
@click.option("--data", multiple=True, metavar="FILE", help="Train on these lists; repeat for several files.")
@click.option("--base", help="Train this encoder or reranker: a folder or a Hub id.")
@click.option("--output", metavar="FOLDER", help="Write the checkpoint to this folder.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; dots for nesting.")
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint that an earlier run saved.")
@click.option("--show", is_flag=True, help="Print the recipe instead of training, to start your own from it.")
def train(
    recipe: str | None,
    data: tuple[str, ...],
    base: str | None,
    output: str | None,
    overrides: tuple[str, ...],
    resume: bool,
    show: bool,
) -> None:
    """Train a reranker according to a RECIPE.

    RECIPE is a YAML file, or the name of a recipe that ships with Plackett: lists (the default with --data), distil,
    lambda, long-documents, causal-lora, reference-msmarco-plistmle.

    \b
    plackett train --data lists.jsonl --output models/mine
    plackett train distil --data distil.jsonl --set training.num_train_epochs=3
    plackett train lists --show > my-recipe.yaml
    plackett train my-recipe.yaml
    """
    if recipe is None and not (data or show):
        raise click.UsageError("name a RECIPE, or the lists to train on with --data FILE")
    with extra("train"):
        from plackett.training.recipe_file import read_text
        from plackett.workflows.train import train as run
    recipe = recipe or "lists"
    if show:
        click.echo(read_text(recipe), nl=False)
        return

    options = {"train": list(data) or None, "base": base, "output": output}
    replaced = {key: value for key, value in options.items() if value is not None}
    with contextlib.nullcontext() if base else _offline_base_offered():
        folder = run(recipe, overrides, replaced=replaced, resume=resume).folder
    click.echo(folder)
    say(f"next: plackett rank QUERY DOCUMENT ... --model {folder}")
    say(f"is it better than the embedded model? plackett evaluate {folder} default --data OTHER-LISTS")


@contextlib.contextmanager
def _offline_base_offered() -> Iterator[None]:
    try:
        yield
    except HubError as error:
        error.add_note("--base default starts from the embedded model, without a download")
        raise
