"""Sphinx's configuration. What the pages say of pillar and messages is made from the code: see ``_ext``."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("docs/_ext", "_utils", "cli")]


def load(kind, module):
    """Import Salt's module of this kind as the wheel calls it: some kinds have files of the same name."""
    name = f"pgpillar_salt.{kind}s.{module}"
    spec = importlib.util.spec_from_file_location(name, ROOT / f"_{kind}s" / f"{module}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


for kind in ("module", "runner", "state"):
    for file in sorted((ROOT / f"_{kind}s").glob("*.py")):
        load(kind, file.stem)

import pgpillar  # noqa: E402  (found on the path that is set above)

project = "pgpillar"
author = copyright = "the pgpillar developers"
version = release = pgpillar.__version__
extensions = ["sphinx.ext.autodoc", "from_code"]
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "alabaster"
html_theme_options = {
    "description": "PostgreSQL access from Salt pillar",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_copy_source = False
autodoc_member_order = "bysource"
