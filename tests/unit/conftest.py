"""What the unit tests share. None of them opens a connection or starts a program."""

import golden
import pytest


@pytest.fixture
def agrees(request):
    """``agrees(case, came_out)``: that it is what the golden file says, or, where asked for, now says."""

    def check(case: golden.Case, came_out: object) -> None:
        if request.config.getoption("--write-changes") and came_out != case.expected:
            golden.rewrite(case, came_out)
        else:
            assert came_out == case.expected

    return check
