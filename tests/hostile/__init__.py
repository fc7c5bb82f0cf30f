import pytest

pytest.register_assert_rewrite("tests.hostile.scene")  # so that a failure shows what was found
