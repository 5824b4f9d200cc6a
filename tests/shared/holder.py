"""Another process that holds a directory, as a training or a studio does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

Hold = Callable[[Path], AbstractContextManager["subprocess.Popen[str]"]]

CODE = """
import sys
from pathlib import Path
from maskmixadv.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holding(place: Path) -> Iterator["subprocess.Popen[str]"]:
    """Hold `place` in a process of its own; yields the process."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(place)], stdin=-1, stdout=-1, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()
