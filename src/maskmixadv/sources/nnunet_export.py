"""A corpus written as a raw dataset of nnU-Net v2: strokes are labels, other pixels have the label ``ignore``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.corpus.case import Case, whole_slices
from maskmixadv.corpus.channels import Channel
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError, counted, say
from maskmixadv.files import whole, write_text
from maskmixadv.formats.details.nifti_fields import DATASET
from maskmixadv.sources.nnunet import BACKGROUND, IGNORED, SPLITS, channels_from
from maskmixadv.strokes.known import known
from maskmixadv.types import IGNORE, Spacing

Annotation = Literal["scribble", "dense"]


def export(
    corpus: Corpus,
    root: Path,
    *,
    annotation: Annotation = "scribble",
    scheme: str | None = None,
    told: list[str] | None = None,
) -> int:
    """Write a corpus as ``dataset.json``, ``imagesTr``, ``labelsTr`` and ``splits_final.json``, whole or not at all.

    Parameters
    ----------
    corpus
        Its cases with an annotation are written.
    root
        A new or empty directory; nnU-Net finds it under a name like ``Dataset101_Heart``.
    annotation
        Which annotation is written for a case that has both.
    scheme
        Scheme whose folds ``splits_final.json`` has, without their test patients; None: the corpus's first.
    told
        Gets a line for each thing that is not written, and for what is written that is not known; None: stderr does.

    Returns
    -------
    How many cases were written.

    Raises
    ------
    InputError
        If `root` is not empty, a case can't be read, there is no such scheme, or a structure has the name
        ``background`` or ``ignore``, or a channel one such as ``CT``, which mean something else to nnU-Net.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> hearts = phantom.prepare(Path("hearts"), cases=6, size=64)
    >>> export(hearts, Path("Dataset101_Heart"))
    6
    >>> sorted(path.name for path in Path("Dataset101_Heart").iterdir())
    ['dataset.json', 'imagesTr', 'labelsTr', 'splits_final.json']
    """
    labels, channels = _names(corpus), _channels(corpus)
    scheme = scheme or next(iter(corpus.folds))
    corpus.split(scheme, 1)
    splits = _splits(corpus, scheme)
    drawn = [entry for entry in corpus.entries if entry.scribble or entry.dense]
    sparse = any(entry.partly or (entry.scribble and (annotation == "scribble" or not entry.dense)) for entry in drawn)
    if not drawn:
        raise InputError(f"{corpus.root}: no case has a scribble or a dense mask to export; at least one is needed")
    lines = [*_told(corpus, drawn, annotation), *_empty(splits, scheme)]
    if told is not None:
        told += lines
    else:
        for line in lines:
            say(f"{corpus.root}: {line}")
    with whole(root) as place:
        for part in ("imagesTr", "labelsTr"):
            (place / part).mkdir()
        for case in corpus.measured.load_all(drawn):
            _write(place, case, corpus.nominal, _labels(case, annotation, len(corpus.classes)))
        names = [*labels, *([IGNORED] if sparse else [])]
        description = {
            "name": corpus.name,
            "channel_names": {str(number): name for number, name in enumerate(channels)},
            "labels": {name: code for code, name in enumerate(names)},
            "numTraining": len(drawn),
            "file_ending": ".nii.gz",
            **({"reference": corpus.source} if corpus.source else {}),
        }
        write_text(place / DATASET, json.dumps(description, indent=1))
        write_text(place / SPLITS, json.dumps(splits, indent=1))
    return len(drawn)


def _told(corpus: Corpus, drawn: Sequence[Entry], annotation: Annotation) -> Iterator[str]:
    """Say what of the corpus is not written, and what is written that is not known."""
    if bare := len(corpus.entries) - len(drawn):
        yield (
            "1 case has no annotation, and is not written"
            if bare == 1
            else (f"{bare:,} cases have no annotation, and are not written")
        )
    both = sum(bool(entry.scribble and entry.dense and not entry.partly) for entry in drawn)
    if both:
        left, other = ("masks", "dense") if annotation == "scribble" else ("strokes", "scribble")
        said = f"of {counted(both, 'case')} with strokes and a mask the {left} are not written"
        yield f"{said} (--annotation {other} writes them)"
    if assumed := sum(entry.spacing is None for entry in drawn):
        mm = " × ".join(f"{size:g}" for size in corpus.nominal)
        yield f"spacing of {counted(assumed, 'case')} is unknown; their files say {mm} mm, as is assumed"


def _empty(splits: Sequence[dict[str, list[str]]], scheme: str) -> Iterator[str]:
    """Say in which folds there is nothing to learn from or to validate on, where nnU-Net stops with an error."""
    for part, what in (("train", "learn from"), ("val", "validate on")):
        if empty := [str(number) for number, split in enumerate(splits) if not split[part]]:
            folds = f"fold{'s' if len(empty) > 1 else ''} {', '.join(empty)} of {scheme!r}"
            said = f"{folds} {'have' if len(empty) > 1 else 'has'} no annotated case to {what}"
            yield f"{said}, at which nnU-Net stops; draw in one, or give nnU-Net the fold 'all'"


def _names(corpus: Corpus) -> list[str]:
    """Return nnU-Net's names of the classes: the first one is ``background`` there, whatever its name here."""
    for code, name in enumerate(corpus.classes[1:], 1):
        if name.strip().lower() in (BACKGROUND, IGNORED):
            raise InputError(
                f"{corpus.root}: class {code} is called {name!r}, by which nnU-Net means something else; rename it, "
                f"allowed is any name but {BACKGROUND!r} and {IGNORED!r}"
            )
    return [BACKGROUND, *corpus.classes[1:]]


def _channels(corpus: Corpus) -> list[str]:
    """Return nnU-Net's names of the channels; by some of them it scales otherwise than these were scaled."""
    names = [_name(channel) for channel in corpus.channels]
    for name, channel, there in zip(names, corpus.channels, channels_from(names), strict=True):
        if channel.kind != there.kind:
            raise InputError(
                f"{corpus.root}: channel {name!r} is of kind {channel.kind}, and nnU-Net takes it by its name as "
                f"{there.kind}; rename it, or prepare the corpus again with this kind"
            )
    return names


def _name(channel: Channel) -> str:
    """Return nnU-Net's name of a channel, by which it knows how to scale it."""
    if channel.kind in ("CT", "noNorm"):
        return channel.kind
    return channel.name[0].upper() if channel.kind == "RGB" else channel.name


def _labels(case: Case, annotation: Annotation, ignore: int) -> UInt8[np.ndarray, "d h w"]:
    first, second = (case.scribble, case.dense) if annotation == "scribble" else (case.dense, case.scribble)
    labels = first if first is not None else second
    if case.dense is not None and not whole_slices(case.dense).all():  # it says more than either does alone
        labels = known(case, {case.name: None}, enclosure=False).drawn
    if labels is None:
        raise InputError(f"{case.name}: neither a scribble nor a dense mask, one is needed; prepare the corpus again")
    return np.where(labels == IGNORE, np.uint8(ignore), labels)


def _write(root: Path, case: Case, nominal: Spacing, labels: UInt8[np.ndarray, "d h w"]) -> None:
    affine = _affine(case, nominal)
    for path, array in (
        *((root / "imagesTr" / f"{case.name}_{number:04d}.nii.gz", each) for number, each in enumerate(case.image)),
        (root / "labelsTr" / f"{case.name}.nii.gz", labels),
    ):
        image = nib.Nifti1Image(array.T, affine)
        # ITK, by which nnU-Net reads, takes no axes that are a hundredth of a degree from right angles but by a qform.
        image.set_qform(affine, code="aligned")
        nib.save(image, path)


def _affine(case: Case, nominal: Spacing) -> Float[np.ndarray, "4 4"]:
    if case.affine is not None:
        return case.affine
    w, h, d = reversed(case.spacing or nominal)
    return np.diag([-w, -h, d, 1.0])  # viewers show it as it is stored: rows run to posterior, columns to left


def _splits(corpus: Corpus, scheme: str) -> Sequence[dict[str, list[str]]]:
    return [
        {part: [entry.name for entry in corpus.of(patients) if entry.scribble or entry.dense]
         for part, patients in (("train", split.train), ("val", split.val))}
        for split in corpus.folds[scheme]
    ]  # fmt: skip
