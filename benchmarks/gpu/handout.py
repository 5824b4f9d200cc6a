"""What a lot hands out: scores, logs and some weights, in a few files of limited size."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import torch

from lot import Piece
from maskmixadv.files import read_json
from maskmixadv.runs.checkpoint import stored
from working import OUTPUT

MOST = 15 * 2**20
"""Bytes of a file of weights."""
MOST_FILES = 4
"""Of weights."""
OF_RUN = ("run.json", "log.csv", OUTPUT)
OF_EVALUATION = ("scores.csv", "volumes.csv", "clinical.csv", "summary.json")


def pack_scores(pieces: Iterable[Piece], work: Path, path: Path) -> None:
    """Write settings, logs and scores of all runs into one archive; paths are made relative to the working folder."""
    with tarfile.open(path, "w:gz") as archive:
        for piece in pieces:
            files = [piece.root / name for name in OF_RUN]
            files += [folder / name for folder in evaluations(piece) for name in OF_EVALUATION]
            files += [piece.root.with_name(f"{piece.name}.txt")]
            for file in files:
                if file.is_file():
                    name = file.relative_to(work / "runs").as_posix()
                    _add(archive, name, published(file.read_text(), work).encode())


def pack_weights(pieces: Iterable[Piece], out: Path) -> list[str]:
    """Write the first runs' scored networks that are to be kept, in half precision; returns the files' names."""
    parts: list[list[tuple[str, bytes]]] = [[]]
    for piece in pieces:
        if piece.keep and (piece.root / "last.pt").is_file():
            state = stored(piece.root / "last.pt", torch.device("cpu"))["scored"]
            half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
            file = io.BytesIO()
            torch.save(half, file)
            if sum(len(content) for _, content in parts[-1]) + file.tell() > MOST:
                parts.append([])
            parts[-1].append((f"{piece.name}.pt", file.getvalue()))
    parts = parts[:MOST_FILES]
    names = [f"weights-{number}.tar" for number, part in enumerate(parts, 1) if part]
    for name, part in zip(names, filter(None, parts), strict=True):
        with tarfile.open(out / name, "w") as archive:
            for inner, content in part:
                _add(archive, inner, content)
    return names


def evaluations(piece: Piece) -> list[Path]:
    """The folders of a run's evaluations that are done."""
    return sorted(path.parent for path in piece.root.glob("evaluation-*/summary.json"))


def dice(folder: Path) -> float | None:
    """The mean Dice of an evaluation."""
    return read_json(folder / "summary.json")["mean"]["dice"]["mean"]


def published(text: str, work: Path) -> str:
    """Text without the path of the working folder."""
    return text.replace(f"{work}/", "").replace(str(work), ".")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
