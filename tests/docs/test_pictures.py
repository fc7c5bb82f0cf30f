"""What the pages show of ``pgpillar`` is what it says."""

import re
from xml.etree import ElementTree

import pytest

from devtools import pictures

DRAWN = sorted((pictures.ROOT / "docs").glob("*/*.svg"))
SHARES = {
    "start": (0, 1),
    "middle": (0.5, 0.5),
    "end": (1, 0),
}  # how much of a text is left and right of its x
ROOM = (("iIjltf.,:;'|!()[] /-•", 0.4), ("mwMW@%→×", 1.0))  # of a letter in a wide font; others take 0.7


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


def room(letter, is_bold):
    return next((wide for letters, wide in ROOM if letter in letters), 0.7 if is_bold else 0.63)


def texts(picture):
    """Each text, with where it begins and where it ends."""
    svg = ElementTree.parse(picture).getroot()
    middle = "text-anchor: middle" in picture.read_text()
    for text in svg.iter("{http://www.w3.org/2000/svg}text"):
        words = "".join(text.itertext()).rstrip("\n")
        size = float(text.get("font-size") or svg.get("font-size") or 20)
        is_bold = text.get("font-weight") in ("600", "bold")
        width = float(text.get("textLength") or size * sum(room(letter, is_bold) for letter in words))
        left, right = SHARES["middle" if middle else text.get("text-anchor", "start")]
        yield words, float(text.get("x")) - left * width, float(text.get("x")) + right * width


@pytest.mark.parametrize("picture", DRAWN, ids=lambda path: path.name)
def test_no_line_is_wider_than_the_picture(picture):
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', picture.read_text())[1])
    assert [words for words, left, right in texts(picture) if left < 0 or right > width] == []


def test_no_line_of_the_demo_ends_in_a_space():
    svg = ElementTree.parse(pictures.ROOT / "docs/pictures/demo.svg").getroot()
    lines = "".join("".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert [line for line in lines.split("\n") if line.endswith(("\xa0", " "))] == []


def test_what_is_too_long_for_a_line_goes_on_below():
    words = "a heading that is much too long for a line of the picture " * 3
    for markdown in (f"### {words}", f"- {words}", words, f"```diff\n-     {words}\n```"):
        drawn = pictures.drawn(markdown)
        assert drawn.count("<text") > 1
        assert (
            " ".join(re.findall("[a-z]+", "".join(ElementTree.fromstring(drawn).itertext()))) == words.strip()
        )
