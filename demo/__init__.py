"""`make demo`: a private PostgreSQL, converged by the repo's states from a pillar that is there to edit."""

import sys
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parent.parent / "_utils")
)  # the core, where Salt has it from too
