"""`plackett publish`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett._wording import counted
from plackett.cli.options import say


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("repository")
@click.option("--private", is_flag=True, help="Make a new repository private to you or your organisation.")
@click.option("--revision", help="Branch to publish to, created if missing.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing.")
@click.option("--dry-run", is_flag=True, help="Check everything and list the files, without contacting the Hub.")
def publish(checkpoint: Path, repository: str, private: bool, revision: str, create_pr: bool, dry_run: bool) -> None:
    """Publish CHECKPOINT to the Hub as REPOSITORY.

    REPOSITORY is a name such as org/name. Before anything is sent, the command checks that the folder loads, reproduces
    the scores on its card, and has a card that matches its facts. Run the same
    command again after an interruption: files that the Hub already has are not sent twice.

    \b
    plackett publish models/mine my-org/my-reranker --private --dry-run
    """
    with extra("train"):
        from plackett.publishing.publish import publish as send
    done = send(checkpoint, repository, private=private, revision=revision, create_pr=create_pr, dry_run=dry_run)

    for file in done.files:
        say(f"{file.size:>14,} bytes  {file.path}")
    say(f"{sum(file.size for file in done.files) / 1e6:.1f} MB in {counted(len(done.files), 'file')}")
    click.echo(done.url or f"dry run: nothing was sent to {repository}")
