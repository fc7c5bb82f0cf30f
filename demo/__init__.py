"""`make demo`: a private PostgreSQL, converged by the repo's states from a pillar that is there to edit."""

import sys
from pathlib import Path

# The core, where Salt has it from too, and what draws changes
sys.path += [str(Path(__file__).resolve().parent.parent / name) for name in ("_utils", "cli")]
