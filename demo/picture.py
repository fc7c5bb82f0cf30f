"""What the demo prints, kept for the documentation: as an SVG, and as text in README.rst."""

import re
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.terminal_theme import MONOKAI

from demo import run, show
from demo.place import ROOT

SVG = ROOT / "docs" / "pictures" / "demo.svg"
README = ROOT / "README.rst"
BLOCK = re.compile(r"(?s)(\.\. make-demo begins\n\n.*?::\n\n)(.*?)(\n\.\. make-demo ends)")

WITHOUT_WEB_FONTS = re.sub(r"(?s)@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT)
FORMAT = WITHOUT_WEB_FONTS.replace('-matrix">', '-matrix" xml:space="preserve">')  # or some cut spaces off


def take():
    """Run the demo in a place of its own, from nothing, and write down what it prints."""
    out = show.console(record=True)
    with tempfile.TemporaryDirectory(prefix="pgpillar-demo-", dir="/var/tmp") as directory:
        where = Path(directory)
        where.chmod(0o755)
        demo = run.Demo(where, out)
        try:
            demo.run()
        finally:
            demo.remove()
    write(out)


def write(out):
    """Put what ``out`` recorded where the documentation shows it."""
    text = out.export_text(clear=False)
    SVG.parent.mkdir(exist_ok=True)
    SVG.write_text(out.export_svg(title="make demo", theme=MONOKAI, code_format=FORMAT))
    README.write_text(BLOCK.sub(lambda found: found[1] + _indented(text) + found[3], README.read_text()))


def shown():
    """Return what README.rst shows of a run."""
    lines = BLOCK.search(README.read_text())[2].splitlines()
    return "".join(line.removeprefix("    ") + "\n" for line in lines)


def _indented(text):
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
