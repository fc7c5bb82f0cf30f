"""Wrong pillars, each an edit of the right one, and all that ``check`` says of it."""

import pytest

from tests import golden


def edit(repo, file, change):
    """Replace texts in a file, or put another text in its place, or remove it."""
    if change is None:
        (repo.root / "pillar" / file).unlink()
    elif isinstance(change, str):
        repo.write(file, change)
    else:
        for old, new in change:
            repo.replace(file, old, new)


def line(finding):
    place = ":".join(str(part) for part in (finding["file"], finding["line"]) if part)
    where = " ".join(filter(None, [place, finding["path"], f"({', '.join(finding['environments'])})"]))
    notice = "notice: " if finding["level"] == "notice" else ""
    return f"{where} {notice}{finding['message']}; {finding['fix']}"


def test_the_right_one_is_right(right):
    assert right.findings() == []


@pytest.mark.parametrize("case", golden.cases("corpus", 2))
def test_everything_is_told(case, right, agrees):
    for file, change in case.given[0].items():
        edit(right, file, change)
    agrees(case, [line(finding) for finding in right.findings()])
