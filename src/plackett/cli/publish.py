"""`plackett publish`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.cli.options import say


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("repository")
@click.option(
    "--private", is_flag=True, help="Where the repository is new, only you and your organisation may read it."
)
@click.option("--revision", help="The branch to publish to, made if need be.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request in place of a commit.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be sent, and ask nobody.")
def publish(checkpoint: Path, repository: str, private: bool, revision: str, create_pr: bool, dry_run: bool) -> None:
    """Publish CHECKPOINT to the hub as REPOSITORY (org/name).

    The folder must load, give the scores on its card, and have the card that its facts give. Interrupted, the same
    command goes on: what the hub has already is not sent again.

    \b
    plackett publish models/mine my-org/my-reranker --private --dry-run
    """
    with extra("train"):
        from plackett.publishing.publish import publish as send
    done = send(checkpoint, repository, private=private, revision=revision, create_pr=create_pr, dry_run=dry_run)
    for file in done.files:
        say(f"{file.size:>14,} bytes  {file.path}")
    say(f"{len(done.files)} files, {sum(file.size for file in done.files) / 1e6:.1f} MB")
    click.echo(done.url or f"nothing was sent: this was a dry run for {repository}")
