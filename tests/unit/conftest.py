"""What the unit tests share. None of them opens a connection or starts a program.

What hypothesis draws is the same in every run, or, with EXAMPLES=2000 in the environment, new and more.
"""

import os

from hypothesis import HealthCheck, settings

# How long an example takes says more of what else the machine does than of the code
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("EXAMPLES", "100")),
)
settings.load_profile("unhurried")
