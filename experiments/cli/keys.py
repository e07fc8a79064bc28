"""Commands on the keys of applications that call the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from serving.keys import Scope

keys = typer.Typer(
    name="keys",
    help="Keys of applications that call the service: add, list, revoke. A running service follows within a second.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[
    Path | None, typer.Option("--file", metavar="JSON", help="The file of keys; default SEQUELA_HOME/keys.json.")
]


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The application, for people.")],
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="predict, explain, outcomes or admin; repeat for several.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="After which it is refused; default never.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="More are answered 429.")] = None,
    file: File = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    Example: sequela keys add ward-dashboard --scope predict --days 365
    """
    from serving.keys import add_key

    scopes = _scopes(scope or ["predict"])
    key, token = add_key(_file(file), name, scopes, days=days, requests_per_minute=requests_per_minute)
    typer.echo(f"key {key.id} of {name} may {', '.join(key.scopes)}; it is shown this once:", err=True)
    typer.echo(token)


@keys.command("list")
def list_(file: File = None) -> None:
    """The keys there are, without their secrets.

    Example: sequela keys list
    """
    from serving.keys import read_keys

    for key in read_keys(_file(file)):
        until = "for ever" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d}"
        limit = "" if key.requests_per_minute is None else f"  {key.requests_per_minute} a minute"
        typer.echo(f"{key.id}  {key.name:24} {','.join(key.scopes):22} {until}{limit}")


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `sequela keys list` shows it.")], file: File = None
) -> None:
    """Take a key back.

    Example: sequela keys revoke 3f9a01bc
    """
    from serving.keys import revoke_key

    typer.echo(f"revoked {revoke_key(_file(file), key_id).name}", err=True)


def _file(given: Path | None) -> Path:
    from experiments.home import Home

    return given or Home.current().keys


def _scopes(words: list[str]) -> list[Scope]:
    from typing import get_args

    from features.documents import nearest
    from features.errors import SequelaError
    from serving.keys import Scope

    for word in words:
        if word not in get_args(Scope):
            msg = f"--scope {word}: is no scope. {nearest(word, get_args(Scope))}"
            raise SequelaError(msg)
    return cast("list[Scope]", words)
