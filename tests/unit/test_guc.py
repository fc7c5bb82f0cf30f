"""Settings in the one form in which pillar's and the server's can be compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpillar import guc

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("work_mem", "64MB", ("work_mem", "64MB")),
        ("Work_Mem", " 64 MB ", ("work_mem", " 64 MB ")),
        ("jit", False, ("jit", "off")),
        ("jit", True, ("jit", "on")),
        ("statement_timeout", 0, ("statement_timeout", "0")),
        ("app.ratio", 0.5, ("app.ratio", "0.5")),
        ("app.Name", "It's", ("app.name", "It's")),
        ("DateStyle", ["ISO", "DMY"], ("datestyle", "ISO, DMY")),
        ("search_path", "shop", ("search_path", "shop")),
        ("search_path", "shop,public", ("search_path", "shop, public")),
        ("search_path", "  Shop ,  PUBLIC ", ("search_path", "shop, public")),
        ("search_path", ["shop", "public"], ("search_path", "shop, public")),
        ("search_path", ["Shop", "my schema"], ("search_path", '"Shop", "my schema"')),
        ("search_path", '"Shop", "my schema"', ("search_path", '"Shop", "my schema"')),
        ("search_path", "$user, public", ("search_path", '"$user", public')),
        ("search_path", ["$user", "public"], ("search_path", '"$user", public')),
        ("search_path", '"say ""hi"""', ("search_path", '"say ""hi"""')),
        ("search_path", ['say "hi"'], ("search_path", '"say ""hi"""')),
        ("search_path", ["a,b"], ("search_path", '"a,b"')),
        ("search_path", "ÉA", ("search_path", '"Éa"')),
        ("search_path", 5, ("search_path", '"5"')),
        ("search_path", "", ("search_path", '""')),
        ("search_path", [], ("search_path", '""')),
        ("search_path", '""', ("search_path", '""')),
        ("temp_tablespaces", "Fast, slow", ("temp_tablespaces", "fast, slow")),
    ],
)
def test_a_setting_has_one_form(name, value, canonical):
    assert guc.canonical(name, value) == canonical


@pytest.mark.parametrize("text", ["a b", '"a', 'a"', '"a" b', ",", "a,,b", ",a", '"a""', "a,", "a, "])
def test_a_text_that_is_no_list_of_names_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match=r"^the text is not a list of names$"):
        guc.names_in(text)


@given(st.lists(NAMES))
def test_names_come_back_from_their_text(names):
    _, text = guc.canonical("search_path", names)
    assert guc.names_in(text) == (names or [""])


@given(st.sampled_from(["search_path", "work_mem"]), NAMES | st.lists(NAMES) | st.booleans() | st.integers())
def test_the_one_form_of_the_one_form_is_itself(name, value):
    try:
        once = guc.canonical(name, value)
    except ValueError:
        return
    assert guc.canonical(*once) == once


@pytest.mark.parametrize("name", ["log_statement", "Session_Preload_Libraries", "pgaudit.log"])
def test_what_takes_a_superuser_is_not_everybodys(name):
    assert not guc.is_everybodys(name)


@pytest.mark.parametrize("name", ["search_path", "TimeZone", "work_mem"])
def test_what_any_role_sets_is_everybodys(name):
    assert guc.is_everybodys(name)
