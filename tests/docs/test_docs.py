"""The documentation builds, holds every key of pillar, and names no test and no file that there is not."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgpillar import tree
from pgpillar.shape import ListOf, Section

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.rst").read_text()
sys.path.append(str(ROOT / "docs" / "_ext"))

from from_code import SECTIONS, exists  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the directory with the HTML."""
    directory = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", directory]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


def test_every_section_of_pillar_is_documented():
    sections = {name: kind for name, kind in vars(tree).items() if isinstance(kind, Section)}
    missing = [
        name for name, kind in sections.items() if all(kind is not known for known in SECTIONS.values())
    ]
    assert missing == []


def test_a_key_at_the_root_that_has_no_table_is_told_of_in_words():
    page = (ROOT / "docs/reference/pillar.rst").read_text()
    plain = [name for name, key in tree.TREE.keys.items() if isinstance(key.kind, ListOf)]
    assert [name for name in plain if f"``{name}``" not in page] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented(built, section):
    assert f".. pillar-keys:: {section}\n" in (ROOT / "docs/reference/pillar.rst").read_text()
    page = (built / "reference" / "pillar.html").read_text()
    for name, key in SECTIONS[section].keys.items():
        assert f'<span class="pre">{name}</span>' in page
        assert key.help


@pytest.mark.parametrize("name", re.findall(r"(tests/[\w/]+\.py::\w+)", README))
def test_the_readme_names_tests_that_exist(name):
    assert exists(*name.split("::"))


def measured(name, row, column):
    with open(ROOT / "docs/benchmarks" / f"{name}.csv", newline="") as file:
        first, *rows = csv.reader(file)
    (found,) = (dict(zip(first, one, strict=True)) for one in rows if one[0] == row)
    return float(found[column])


def test_the_readme_tells_what_was_measured():
    against = (
        "A second run, against Salt's own states with Debian's defaults",
        "A second run, against Salt's own states at their best",
    )
    full, grants = (
        [int(measured("ratios", row, column)) for row in against]
        for column in ("full, N = 50", "grants, N = 200")
    )
    told = " ".join(README.split())
    assert "was {} times as fast as with Salt's own states, and {} times as fast as".format(*full) in told
    assert "with one grant in each of 200 databases, {} and {} times".format(*grants) in told
    assert f"took {measured('node', 'an app node', 'ratio'):.1f} times as long" in told


def test_the_design_names_each_module_of_the_core_once():
    named = re.findall(r"^\.\. core-modules:: (.*)", (ROOT / "docs/design.rst").read_text(), re.M)
    there = [path.stem for path in (ROOT / "_utils/pgpillar").glob("[!_]*.py")]
    assert sorted(" ".join(named).split()) == sorted(there)


@pytest.mark.parametrize("path", re.findall(r"(?:<|:: )((?:docs|\w+\.rst)[^>\s]*)", README))
def test_the_readme_leads_to_files_that_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("_[mrs]*s/*.py")))
def test_every_public_function_is_documented(built, path):
    kind, name = path.removesuffix(".py").split("/")
    page = (built / "reference" / "modules.html").read_text()
    for function in re.findall(r"^def ([a-z]\w*)", (ROOT / path).read_text(), re.M):
        assert f'id="pgpillar_salt.{kind.strip("_")}.{name}.{function}"' in page
