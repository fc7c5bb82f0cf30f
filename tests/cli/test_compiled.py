"""Pillar is compiled for each node as a master would, though for all of them by one and the same compiler."""

from pathlib import Path

import salt.config
import salt.pillar
from salt.utils.dictupdate import merge

from pgpillar_cli.compiled import GRAINS, NOWHERE, Compiler, _plain
from pgpillar_cli.place import Place

TOP = """
base:
  '*': [common, all]
  'b-*': [some]
  'b-* and not b-2': [other]
  'b-[23]': [more.*]
  'G@os:Debian': [grains]
"""
COMMON = """
postgresql:
  databases: {shop: shop}
  users: {app: {run_as: app, groups: [a], access: {shop: read, wiki: read}}}
"""
MERGED = "postgresql: {users: {app: {password: p, groups: [b], access: {shop: write}}, more: {}}}"
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
    return salt.pillar.Pillar(options, {**GRAINS, "id": minion}, minion, "base").compile_pillar()[
        "postgresql"
    ]


def test_what_nodes_share_is_not_changed_by_what_one_of_them_sees():
    shared = _plain({"users": {"app": {"groups": ["a"]}}})
    first = merge(shared, {"users": {"app": {"password": "p"}}})
    second = merge(first, {"users": {"app": {"password": "q"}}})
    assert shared == {"users": {"app": {"groups": ["a"]}}}
    assert first == {"users": {"app": {"groups": ["a"], "password": "p"}}}
    assert second == {"users": {"app": {"groups": ["a"], "password": "q"}}}


def test_each_node_sees_what_it_would_see_of_a_master(tmp_path):
    texts = {"top": TOP, "common": COMMON, "all": ALL, "some": MERGED, "more/some": "include: [some]"}
    for name, text in (
        texts | {"other": "postgresql: {other: yes}", "grains": "postgresql: {g: yes}"}
    ).items():
        file = tmp_path / f"pillar/dev/{name}.sls"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    place = Place(tmp_path)
    compiler = Compiler(place, *place.all_environments())
    for minion in ("b-1", "a-1", "b-2", "b-3"):
        view = compiler.view(minion)
        assert (view.findings, view.tree) == ([], as_a_master(tmp_path, minion))
        assert ("password" in view.tree["users"]["app"]) is minion.startswith("b-")
    assert not Path(NOWHERE).exists()
