"""`plackett completion`."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    plackett completion bash >> ~/.bashrc
    plackett completion zsh >> ~/.zshrc
    plackett completion fish > ~/.config/fish/completions/plackett.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all of SHELLS
    click.echo(found(context.find_root().command, {}, "plackett", "_PLACKETT_COMPLETE").source())
