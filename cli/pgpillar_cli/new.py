"""``pgpillar new-database``, ``new-user``, ``new-secret``: edits of pillar, made for a person."""

from __future__ import annotations

import functools
import shlex

import click

from pgpillar.access import LEVELS
from pgpillar.node import PLAIN
from pgpillar.pillar import ROOT
from pgpillar_cli import amend, vault
from pgpillar_cli.edit import Edit, EditError
from pgpillar_cli.place import Place, PlaceError
from pgpillar_cli.safe import visible


def editing(command):
    """A command that fills an edit of the place and returns its subject. It is done whole, or not at all."""

    @click.pass_obj
    @functools.wraps(command)
    def run(place: Place, **given):
        edit = Edit(place)
        try:
            subject = command(edit, **given)
            edit.write()
        except (EditError, PlaceError) as error:
            raise click.ClickException(str(error)) from None
        _tell(edit, subject)

    return run


def _tell(edit: Edit, subject: str) -> None:
    """What was written, and how it gets to the others. Of passwords, only where they stand."""
    width = max(map(len, edit.notes))
    for file, notes in edit.notes.items():
        for first, note in zip([file, *[""] * len(notes)], notes, strict=False):
            click.echo(f"{first:{width}}  {visible(note)}")
    click.echo(f"\nLook at it, commit it, and open a pull request:\n  git add {shlex.join(edit.notes)}")
    click.echo(f"  git commit -m {shlex.quote(visible(subject))}")


ACCESS = "What it may do in a database, such as shop=write; may be given again."


class Access(click.ParamType):
    name = "database=level"

    def convert(self, value, param, ctx):
        database, _, level = value.rpartition("=")
        if not database or level not in LEVELS:
            self.fail(f"{value!r} is not like shop=read; the levels are {', '.join(LEVELS)}", param, ctx)
        return database, level


def of_role(command):
    """The options that say whose nodes are to have the password."""
    role = "The role whose minions are to know its password. If left out, only who administers does."
    minion = "A minion that has this role, by id or by a glob of ids; may be given again."
    command = click.option("--minion", "minions", multiple=True, help=minion)(command)
    return click.option("--role", help=role)(command)


@click.command("new-database", short_help="Add a database, and its owner.")
@click.argument("name")
@click.option("--owner", help="The user or group that owns it; a user of its name, if left out.")
@of_role
@editing
def new_database(edit, name, owner, role, minions):
    """Add a database, and its owner where there is no such user yet."""
    owner = owner or name
    amend.add_database(edit, name, owner)
    if not amend.has_group(edit, owner):
        amend.add_user(edit, owner, role, minions)
    return f"Add database {name}"


@click.command("new-user", short_help="Add a user, and what it may do.")
@click.argument("name")
@click.option("--access", "accesses", type=Access(), multiple=True, help=ACCESS)
@click.option("--group", "groups", multiple=True, help="A group that it is in; may be given again.")
@click.option("--run-as", help="The system user of its application, which may read its client files.")
@click.option("--pool", help="What its applications call the database, if not by its name.")
@of_role
@editing
def new_user(edit, name, accesses, groups, run_as, pool, role, minions):
    """Add a user with a random password in each environment, and what it may do."""
    if not accesses and not groups:
        raise EditError(f"say what {name!r} may do, with --access database=level or with --group group")
    if pool and len(accesses) != 1:
        raise EditError(f"a pool is of one database; say which for {pool!r}, with one --access")
    if not amend.add_user(edit, name, role, minions):
        raise EditError(f"user {name!r} is there already; for another password: pgpillar new-secret {name}")
    if public := {key: value for key, value in {"groups": [*groups], "run_as": run_as}.items() if value}:
        amend.describe_user(edit, name, **public)
    if len(accesses) == 1:
        example = name if PLAIN.fullmatch(name) else "app"
        edit.remedies[str(ROOT / "pools")] = f"call it something else there, for example: --pool {example}"
    for database, level in accesses:
        amend.give(edit, name, database, level)
        if pool:
            amend.name_pool(edit, pool, database, name)
    return f"Add user {name}"


@click.command("new-secret")
@click.argument("names", nargs=-1, required=True)
@click.option("--env", "environments", multiple=True, help="Only this environment; may be given again.")
@click.option("--admin", is_flag=True, help="The names are clusters, whose admins are meant.")
@click.option("--ask", is_flag=True, help="Ask for the passwords, in place of random ones.")
@editing
def new_secret(edit, names, environments, admin, ask):
    """Give users, or the admins of clusters, another password."""
    section, names = "clusters" if admin else "users", dict.fromkeys(names)
    for environment in edit.place.environments(environments):
        for name in names:
            password = _asked(name, environment.name) if ask else vault.new_password()
            amend.change_password(edit, environment, section, name, password)
    return f"Change passwords: {', '.join(names)}"


def _asked(name: str, environment: str) -> str:
    return click.prompt(f"Password of {name} in {environment}", hide_input=True, confirmation_prompt=True)
