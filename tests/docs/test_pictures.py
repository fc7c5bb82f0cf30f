"""What the pages show of ``pgpillar`` is what it says."""

import pytest

from devtools import pictures


@pytest.fixture(scope="module")
def made():
    return pictures.made()


def test_what_the_pages_show_is_what_pgpillar_says(made):
    """``make examples`` writes it anew."""
    assert {path: path.read_text() for path in made} == made


def test_ten_faults_are_ten(made):
    text = made[pictures.EXAMPLES / "ten-faults.txt"]
    assert text.endswith("\n10 problems\n")
    assert text.count("✗") == 10
