"""The part of the hosts file that is ours, and all the rest that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpillar import hosts_file
from pgpillar.model import Place, Trouble

NAMES = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
    st.ip_addresses().map(str),
    max_size=4,
)
LINES = st.text(alphabet=st.sampled_from("ab1 .:#\t\n"), max_size=60)


def test_only_servers_with_an_address_to_dial_stand_there():
    servers = [Place("a", 5432, "192.0.2.1"), Place("b"), Place("a", 5433, "192.0.2.1")]
    assert hosts_file.wanted(servers) == {"a": "192.0.2.1"}


def test_a_name_with_two_addresses_is_refused():
    with pytest.raises(Trouble) as caught:
        hosts_file.wanted([Place("a", 5432, "192.0.2.1"), Place("a", 5432, "192.0.2.2")])
    assert str(caught.value) == "a would lead to 192.0.2.1 and 192.0.2.2; give each server a name of its own"


def test_our_part_comes_first_for_the_first_line_of_a_name_counts():
    text = hosts_file.rewritten("127.0.0.1 localhost\n", {"db": "192.0.2.1", "a": "2001:db8::1"})
    assert text == ("# pgpillar: begin\n2001:db8::1 a\n192.0.2.1 db\n# pgpillar: end\n127.0.0.1 localhost\n")


@given(LINES, NAMES, NAMES)
def test_every_other_line_stays_as_it_was(others, before, after):
    text = hosts_file.rewritten(hosts_file.rewritten(others, before), after)
    assert text.endswith(others)
    assert hosts_file.rewritten(text, {}) == others


@given(LINES, NAMES)
def test_what_is_written_is_read_back(others, names):
    assert hosts_file.written(hosts_file.rewritten(others, names)) == names


@given(LINES, NAMES)
def test_a_second_time_changes_nothing(others, names):
    once = hosts_file.rewritten(others, names)
    assert hosts_file.rewritten(once, names) == once


def test_a_part_that_somebody_cut_is_not_ours():
    text = "# pgpillar: begin\n192.0.2.1 db\n"
    assert hosts_file.written(text) == {}
    assert hosts_file.rewritten(text, {"db": "192.0.2.2"}).endswith(text)


@pytest.mark.parametrize("line", ["192.0.2.1", "192.0.2.1 db other", "", "# db"])
def test_a_line_in_our_part_that_says_nothing_of_ours_is_written_over(line):
    text = f"# pgpillar: begin\n{line}\n# pgpillar: end\n127.0.0.1 localhost\n"
    assert hosts_file.written(text) == {}
    assert hosts_file.rewritten(text, {"db": "192.0.2.1"}) == hosts_file.rewritten(
        "127.0.0.1 localhost\n", {"db": "192.0.2.1"}
    )


def test_nothing_of_ours_leaves_no_mark():
    assert hosts_file.rewritten("127.0.0.1 localhost\n", {}) == "127.0.0.1 localhost\n"
