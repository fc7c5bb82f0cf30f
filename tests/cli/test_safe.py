"""Names that would be more than words where they are shown."""

import re

import pytest
from markdown_it import MarkdownIt

from pgpillar_cli import drawing, formats, safe
from pgpillar_cli.findings import Finding

EVIL = "`<img src=x>` ``` @team #1 [a](b) *c* ~~d~~ &lt;\n-     drop\x1b[2J\u202e"
SERVER = "postgresql/server.sls"


def shown(markdown):
    """What is left of Markdown as words, and whatever else became of it."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    inline = [child for token in tokens for child in token.children or ()]
    return "".join(child.content for child in inline), {child.type for child in inline} - {"text"}


@pytest.mark.parametrize("name", [EVIL, "`", "``a`", "a`", "<b>", "a\\`b"])
def test_markdown_shows_a_name_and_nothing_else(name):
    words, more = shown(safe.markdown(name))
    assert (words.replace("\u200b", ""), more - {"text_special"}) == (safe.visible(name), set())
    assert shown(safe.code(name)) == (safe.visible(name), {"code_inline"})


def test_nobody_is_notified():
    assert not re.search(r"[@#]\w", safe.markdown(EVIL))


def test_nothing_invisible_is_left():
    assert safe.visible(EVIL).endswith(r" &lt;\n-     drop\x1b[2J\u202e")
    assert safe.visible("größe → ✗ 表") == "größe → ✗ 表"


TREES = [{EVIL: [EVIL]}, {EVIL: {"a": ["b"]}}, {EVIL: [EVIL * 3]}, {"a": EVIL, "b": EVIL}]


@pytest.mark.parametrize("found", TREES)
def test_a_tree_has_only_lines_of_its_own(found, capsys):
    formats.console().print(drawing.tree(EVIL, found))
    out = capsys.readouterr().out
    assert not re.search("[\x1b\u202e]", out)
    assert "drop" in out
    assert not re.search("^-     drop", out, re.M)


@pytest.mark.parametrize("form", ["text", "markdown", "github"])
def test_findings_are_told_in_their_own_lines(form, capsys):
    formats.write_findings([Finding(EVIL, EVIL, EVIL, EVIL)], form)
    out = capsys.readouterr().out
    assert not re.search("[\x1b\u202e]", out)
    assert not re.search("^-     drop", out, re.M)


@pytest.mark.parametrize("form", ["text", "markdown", "github"])
def test_a_plan_is_told_in_its_own_lines(branch, form):
    name = r'"x\n-     drop\e[2J\u202E"'
    branch.replace(SERVER, "    wiki: wiki\n", f"    wiki: wiki\n    {name}: readers\n")
    branch.git("mv", "pillar/dev", "pillar/de`v <b>")
    out = branch.run("plan", "--base", "main", "--format", form).stdout
    assert "changes" in out.splitlines()[0]
    assert not re.search("[\x1b\u202e]", out)
    assert not re.search("^-     drop", out, re.M)
    if form == "markdown":
        assert r"de\`v \<b\>" in out
