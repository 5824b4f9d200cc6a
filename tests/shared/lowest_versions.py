"""Print the lower bounds of what the package needs as pins for pip.

``python tests/shared/lowest_versions.py > pins.txt`` writes them. `make test-lowest` installs them and runs the tests,
so that pyproject.toml promises nothing that was not seen. PyTorch is left out: its oldest versions come with gigabytes
for GPUs, and `TORCH` names the one that is to be installed.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"torch"}


def pins() -> list[str]:
    """One ``name==version`` for each ``name>=version`` of the package and its extras, but for what tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [line for name, extra in project["optional-dependencies"].items() if name != "dev" for line in extra]
    bounds = [re.fullmatch(r"([\w-]+)>=([\w.]+)", line) for line in (*project["dependencies"], *optional)]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound and bound[1] not in LEFT_OUT]


if __name__ == "__main__":
    print("\n".join(pins()))
