"""Pillar is compiled for each node as a master would, though for all of them by one and the same compiler."""

from pathlib import Path

import salt.config
import salt.pillar

from pgpillar_cli.compiled import NOWHERE, Compiler
from pgpillar_cli.place import Place

TOP = "base:\n  '*': [all]\n  'b-*': [some]\n"
ALL = """
postgresql:
  grains: {{ grains.id }}
  by_function: {{ salt['grains.get']('id') }}
  options: {{ opts.id }}
  of_the_master: {{ salt['config.get']('id') }}
  pillar: {{ pillar.get('postgresql', 'none') }}
"""


def as_a_master(root, minion):
    options = {
        "root_dir": str(root / "salt"),
        "file_client": "local",
        "pillar_roots": {"base": [str(root / "pillar/dev")]},
    }
    options = salt.config.apply_master_config(options)
    return salt.pillar.Pillar(options, {"id": minion}, minion, "base").compile_pillar()["postgresql"]


def test_each_node_sees_what_it_would_see_of_a_master(tmp_path):
    for name, text in {"top": TOP, "all": ALL, "some": "postgresql: {some: yes}"}.items():
        (tmp_path / "pillar/dev").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"pillar/dev/{name}.sls").write_text(text)
    place = Place(tmp_path)
    compiler = Compiler(place, *place.all_environments())
    for minion in ("b-1", "a-1", "b-2"):
        view = compiler.view(minion)
        assert (view.findings, view.tree) == ([], as_a_master(tmp_path, minion))
        assert ("some" in view.tree) is minion.startswith("b-")
    assert not Path(NOWHERE).exists()
