"""What Salt says to a file that it cannot compile, as findings: where, what is wrong, what would be right.

A renderer's own words quote the file, and that may hold a secret; so they are never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jinja2
import yaml

from pgpillar.shape import nearest
from pgpillar_cli.findings import Finding

RENDERERS = ("jinja", "yaml", "gpg", "py")  # those that a pillar file may well name


class Told(Exception):
    """Stands in Salt's own list of errors for what a finding says already."""

    def __str__(self) -> str:
        return "pgpillar has told"


_YAML = (  # what it says, what that means, and what would be right
    (r"conflicting ID", "a key stands here twice", "keep one of the two"),
    (r"unacceptable key", "a mapping or a list is no key", "put it in quotes"),
    (
        r"mapping values are not allowed",
        "this is a colon too many, or a line that begins too far right",
        "indent it as the lines around it, or put the text in quotes",
    ),
    (
        r"cannot start any token",
        "this is a tab, or a character that begins no value",
        "indent by spaces, and put the text in quotes",
    ),
    (r"too many aliases", "its aliases stand for too much to be read", "write what they stand for"),
    (r"undefined alias", "'*' begins an alias, and there is none of that name", "put the text in quotes"),
    (r"tab character", "this is a tab", "indent by spaces"),
    (
        r"expected ',' or '[\]}]'|expected node content",
        "a bracket is not closed, or a comma is missing",
        "close it before here",
    ),
    (r"could not find expected ':'", "a key is without its colon", "write 'key: value'"),
    (
        r"expected <block end>|did not find expected (key|'-' indicator)",
        "this line belongs to nothing above it",
        "indent it as the lines around it",
    ),
    (r"end of stream|quoted scalar", "a quote is not closed", "close it"),
    (r"constructor for the tag", "a tag ('!…') means nothing here", "put the text in quotes"),
    (r"characters are not allowed|invalid", "a character is none that YAML takes", "take it out"),
    (r"", "this is no YAML", "look for an indentation, a bracket or a quote"),
)

_BRACES = "correct what stands between the braces; braces of a password are safe below #!yaml"
_JINJA = (  # of what kind it is, what it says, what that means, and what would be right
    (jinja2.TemplateNotFound, r"", "there is no file of this name", "correct its name, or add it"),
    (
        jinja2.UndefinedError,
        r"^'salt.* has no attribute",
        "Salt has no function of this name",
        "correct its name",
    ),
    (jinja2.UndefinedError, r"", "a name is not defined", _BRACES),
    (jinja2.TemplateSyntaxError, r"Unexpected end of template", "a block is not closed", "close it"),
    (jinja2.TemplateSyntaxError, r"", "the braces hold nothing that it understands", _BRACES),
    (jinja2.TemplateError, r"", "this fails", _BRACES),
)


def of_renderer(error: BaseException, file: str) -> Finding:
    """What a renderer complained of."""
    cause = error.__cause__ or error.__context__ or error
    explain = next((explain for kind, explain in _CAUSES.items() if isinstance(cause, kind)), _of_another)
    return explain(cause, error)._replace(file=file)


def _of_yaml(cause: yaml.YAMLError, error: Exception) -> Finding:
    said = str(getattr(cause, "problem", None) or getattr(cause, "reason", None) or "")
    mark = getattr(cause, "problem_mark", None)
    message, fix = next(told for pattern, *told in _YAML if re.search(pattern, said))
    return Finding(message, fix, line=mark.line + 1 if mark else None)


def _of_jinja(cause: jinja2.TemplateError, error: Exception) -> Finding:
    line = getattr(error, "line_num", None) or getattr(cause, "lineno", None)
    said = cause.message or ""
    message, fix = next(
        told for kind, says, *told in _JINJA if isinstance(cause, kind) and re.search(says, said)
    )
    return Finding(f"Jinja: {message}", fix, line=line)


def _of_bytes(cause: UnicodeDecodeError, error: Exception) -> Finding:
    return Finding("this, or what it imports, is not UTF-8", "save it as UTF-8")


def _of_another(cause: Exception, error: Exception) -> Finding:
    line = getattr(error, "line_num", None)
    return Finding(f"Salt cannot render this: {type(cause).__name__}", "mend it, or take it out", line=line)


_CAUSES = {yaml.YAMLError: _of_yaml, jinja2.TemplateError: _of_jinja, UnicodeDecodeError: _of_bytes}


def no_text(file: str) -> Finding:
    return Finding("this is not UTF-8", "save it as UTF-8", file=file)


def no_renderer(name: str, known: Iterable[str], file: str) -> Finding:
    """Salt looks for one of this name, which is what a file begins with: it may be a secret."""
    known = [one for one in RENDERERS if one in known]
    message = "Salt has no such renderer, and so reads nothing of this file"
    return Finding(message, nearest(name, known), file=file, line=1)


def sealed_as_a_whole(file: str) -> Finding:
    message = "the file is encrypted as a whole, so that nothing in it can be checked"
    return Finding(message, "encrypt its values one by one, below #!yaml|gpg", file=file, line=1)


def no_list(target: object, file: str) -> Finding:
    return Finding(f"what {str(target)!r} gets is no list", "write '- file' lines below it", file=file)


def no_mapping(file: str, path: str = "") -> Finding:
    what, line = (f"{path!r}", None) if path else ("the file", 1)
    return Finding(f"{what} is no mapping", "write 'key: value' lines", path, file, line)


# What Salt itself collects while it puts the files together

_SALT = (
    (r"Specified SLS '(?P<sls>.+?)' in", "there is no file for {sls!r}", "add it, or take this line out"),
    (
        r"Include Declaration in SLS '(?P<sls>.+?)' is",
        "'include' is no list",
        "write '- name' lines below it",
    ),
    (r"(?s)Rendering .*pgpillar has told", None, None),
    (r"(?s)Rendering SLS .*codec can't decode", None, None),  # told when it was begun
    (r"(?s)Rendering .*codec can't decode", "this is not UTF-8", "save it as UTF-8"),
    (
        r"",
        "Salt cannot make sense of what this top file leads to",
        "write 'base:', below it 'minion:', and below that '- file' lines",
    ),
)


def of_salt(errors: Iterable[str], top: str, files: Mapping[str, Path]) -> list[Finding]:
    """What Salt found wrong with how the files belong together. ``files`` are those that it read."""
    return [finding for error in errors for finding in _of_one(error, top, files)]


def no_file(sls: str, top: str, path: Path) -> Finding:
    """What Salt would say to a top file that names this, were there a minion that is given it."""
    return next(_of_one(f"Specified SLS '{sls}' in", top, {top: path}))


def _of_one(error: str, top: str, files: Mapping[str, Path]) -> Iterator[Finding]:
    pattern, message, fix = next(row for row in _SALT if re.match(row[0], error))
    if message:
        sls = re.match(pattern, error).groupdict().get("sls", "")
        file, line = _itself(sls, files) or _mention(sls, files) or (top, None)
        yield Finding(message.format(sls=sls), fix, file=file, line=line)


def _itself(sls: str, files: Iterable[str]) -> tuple[str, None] | None:
    ends = f"/{sls.replace('.', '/')}.sls", f"/{sls.replace('.', '/')}/init.sls"
    return next(((file, None) for file in files if sls and file.endswith(ends)), None)


def _mention(sls: str, files: Mapping[str, Path]) -> tuple[str, int] | None:
    """The line that names a file: whole, or relative to the one that it stands in."""
    for name in (sls, sls[sls.rfind(".") :]):
        naming = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
        for file, path in files.items():
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if sls and naming.search(line.partition(" #")[0]):
                    return file, number
    return None
