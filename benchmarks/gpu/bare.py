"""One lot on a bare machine, from nothing to results: ``python benchmarks/gpu/bare.py LOT --bundle BUNDLE --out OUT``.

It installs what the machine lacks, makes the corpora, runs the lot and packs what it came to. It needs Python alone to
begin with. README.md beside this file says what lies in the bundle.
"""

import argparse
import importlib.util
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
SAVING_SECONDS = 20.0
"""For a command to save what it has done after it was told to end."""
PACKING_SECONDS = 10.0


class Machine:
    """A machine that a lot is run on: its folders, its environment and its clock.

    Parameters
    ----------
    work
        Folder with corpora and runs.
    out
        Folder for the results.
    seconds
        Time for everything.
    """

    def __init__(self, work: Path, out: Path, seconds: float) -> None:
        self.work, self.out = work.resolve(), out.resolve()
        self._end = time.monotonic() + seconds
        self._site = self.work / "site"
        paths = (CHECKOUT / "src", self._site, *filter(None, [os.environ.get("PYTHONPATH")]))
        self._records = self.work / "records"
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "MASKMIXADV_RECORDS": str(self._records),
        }
        for folder in (self.work / "runs", self.out):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def install(self, wheels: Path) -> None:
        """Install wheels beside what the machine has, without a network; what is installed stays for the next lot."""
        files = sorted(map(str, wheels.glob("*.whl")))
        if files and not self._site.exists():
            options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(self._site)]
            subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=True)

    def run(self, *words: str, until: float = 0.0, settings: Mapping[str, str] | None = None) -> int:
        """Run Python with `words` until so many seconds are left, and print its output; returns the exit code."""
        print(f"[{self.left:4.0f} s left] python {shlex.join(words)}", flush=True)
        environment = {**self._environment, **(settings or {})}
        process = subprocess.Popen([sys.executable, *words], cwd=self.work, env=environment)
        try:
            return process.wait(max(1.0, self.left - until))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # a training saves its state
            try:
                return process.wait(SAVING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

    def pack(self, names: list[str]) -> None:
        """Hand out files of the working folder, and the records that were written."""
        with tarfile.open(self.out / "commands.tar", "w") as archive:
            for name in names:
                if (self.work / name).exists():
                    archive.add(self.work / name, name)
            for path in sorted(self._records.glob("*.jsonl")):
                archive.add(path, f"records/{path.name}")


def ready(machine: Machine, bundle: Path) -> None:
    """Install wheels and make the corpora, unless they are there."""
    machine.install(bundle / "whl")
    if (bundle / "data").is_dir() and not (machine.work / "acdc" / "corpus.json").is_file():
        machine.run(str(HERE / "rebuild.py"), str(bundle.resolve() / "data"), str(machine.work))
    if (bundle / "mscmr").is_dir() and not (machine.work / "mscmr").exists():
        (machine.work / "mscmr").symlink_to((bundle / "mscmr").resolve())


def parsed(command: str) -> tuple[dict[str, str], list[str]]:
    """Split a command into what it sets in its environment, ``NAME=VALUE`` before all else, and its words."""
    words = shlex.split(command)
    settings = list(itertools.takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))
    return dict(word.split("=", 1) for word in settings), words[len(settings) :]


def carry_out(machine: Machine, lot: Path, *, dry: bool) -> int:
    """Give a lot's commands, train and score its runs, pack; returns how many of these steps failed."""
    told, failed = tomllib.loads(lot.read_text()), 0
    for command in told.get("tries" if dry else "commands", ()):
        settings, words = parsed(command)
        words = words if words[0] == "-m" else [str(CHECKOUT / words[0]), *words[1:]]
        if machine.left > SAVING_SECONDS + PACKING_SECONDS:
            failed += machine.run(*words, until=SAVING_SECONDS + PACKING_SECONDS, settings=settings) != 0
        else:
            print(f"not run, no time is left: {command}", flush=True)
            failed += 1
    if told.get("runs"):
        places = [str(lot.resolve()), "--work", str(machine.work), "--out", str(machine.out)]
        words = [*places, "--seconds", f"{machine.left - PACKING_SECONDS:.0f}", *(["--dry"] if dry else [])]
        failed += machine.run(str(HERE / "together.py"), *words) != 0
    if told.get("commands"):
        machine.pack(told.get("hand_out", []))
    return failed


def main() -> int:
    """Read the command line and carry the lot out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lot", type=Path, help="TOML file of the lot")
    parser.add_argument("--bundle", type=Path, default=Path("bundle"), help="folder with whl, data and mscmr")
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder for corpora and runs")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "out")), help="folder for the results")
    parser.add_argument("--seconds", type=float, default=350.0, help="time for everything")
    parser.add_argument(
        "--dry", action="store_true", help="try the lot: small commands, and each run for two steps on phantoms"
    )
    options = parser.parse_args()
    machine = Machine(options.work, options.out, options.seconds)
    if not options.dry:
        ready(machine, options.bundle)
    if importlib.util.find_spec("torch") is None:
        print("bare: torch is not installed on this machine", file=sys.stderr)
        return 1
    return 1 if carry_out(machine, options.lot, dry=options.dry) else 0


if __name__ == "__main__":
    sys.exit(main())
