"""The values that all else is made of, and what a person has to mend."""

import pytest

from pgpillar.model import Trouble, told_as


class Theirs(Exception):
    """An error as the caller's world has it."""


@pytest.mark.parametrize("trouble", [Trouble("mend this"), PermissionError(13, "not yours", "/a/file")])
def test_what_a_person_has_to_mend_comes_out_as_the_callers_own_error(trouble):
    with pytest.raises(Theirs) as told, told_as(Theirs):
        raise trouble
    assert str(told.value) == str(trouble)
    assert told.value.__suppress_context__


def test_a_fault_of_our_own_stays_what_it_is():
    with pytest.raises(KeyError), told_as(Theirs):
        raise KeyError("name")
