"""``pgpillar schema``: what pillar may hold, for editors."""

from __future__ import annotations

import json

import click

import pgpillar.schema


@click.command(short_help="Print the JSON Schema of pillar, for editors.")
def schema():
    """Print the JSON Schema of a file of pillar, for editors with a YAML language server."""
    click.echo(json.dumps(pgpillar.schema.of_file(), indent=1, ensure_ascii=False))
