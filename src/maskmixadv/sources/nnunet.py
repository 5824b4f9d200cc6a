"""A corpus of a raw dataset of nnU-Net v2: dataset.json, imagesTr, labelsTr, and splits_final.json if it is there.

Those of nnU-Net v1 and of the Medical Segmentation Decathlon, which v2 came from, are read, too: their labels are names
by codes, they say no ``file_ending``, and an image of one file may have no ``_0000``.

Sources: github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md and ignore_label.md; Antonelli et al., Nature
Communications 2022 (medicaldecathlon.com).
"""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from maskmixadv.corpus.channels import COLOURS, Channel, Kind
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.corpus.folds import folds
from maskmixadv.corpus.names import MOST_CLASSES
from maskmixadv.errors import InputError, counted, listed, say
from maskmixadv.files import check_name, read_json
from maskmixadv.formats import image_files, several
from maskmixadv.formats.details.nifti_fields import CHANNELS, DATASET
from maskmixadv.formats.reading import NAMED, in_one_line
from maskmixadv.sources import folder, pairs, tables
from maskmixadv.sources.classes import MOST_CODE, Classes, coded
from maskmixadv.sources.folder import Found
from maskmixadv.sources.pairs import Pair
from maskmixadv.spelling import folded
from maskmixadv.typed import as_type

SPLITS: Final = "splits_final.json"
PARTS: Final = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
"""Folders of a data set."""
IGNORED: Final = "ignore"
"""nnU-Net's name of the label of unlabelled pixels; there its code is the highest, here it may be any."""
KINDS: Final[Mapping[str, Kind]] = {"ct": "CT", "nonorm": "noNorm"}
"""Kinds by the names of channels that mean one to nnU-Net, in lower case; any other name is of kind MR."""
_COLOURS: Final = (["r", "g", "b"], ["red", "green", "blue"], ["rgb_to_0_1"] * 3)
BACKGROUND: Final = "background"
"""nnU-Net's name of label 0."""


@dataclass(frozen=True)
class Dataset:
    """Content of a ``dataset.json``.

    Attributes
    ----------
    name
        Name of the data set.
    classes
        Meaning of the codes.
    ending
        Suffix of all files.
    source
        Reference and licence.
    channels
        Of the images; none where the file does not say.
    training
        How many cases to train on there are, as the file says, whatever that is; None if it does not.

    Examples
    --------
    >>> Dataset("Heart", Classes(("background", "LV"), 2), ".nii.gz", "").ending
    '.nii.gz'
    """

    name: str
    classes: Classes
    ending: str
    source: str
    channels: tuple[Channel, ...] = ()
    training: object = None


def prepare(
    source: Path, root: Path, *, patient: str | None = None, axis: int | None = None, colours: bool = True
) -> Corpus:
    """Make a corpus of a raw dataset of nnU-Net, or of the Medical Segmentation Decathlon.

    Of a label file, slices with ignored pixels are a scribble, those without are a dense mask. Cases of ``labelsTs``,
    if there are any, are for testing. The schemes are those of a folder (`maskmixadv.corpus.folds.folds`), and
    ``splits`` if there is a ``splits_final.json``.

    Parameters
    ----------
    source
        The dataset's folder, ``DatasetNNN_…``.
    root
        A new or empty directory.
    patient, axis, colours
        As `maskmixadv.sources.folder.prepare` has them.

    Raises
    ------
    InputError
        If a file is damaged or missing, or images have not as many channels as ``dataset.json`` says.

    Examples
    --------
    >>> from maskmixadv.sources.nnunet_export import export
    >>> from maskmixadv.sources.phantoms import phantom
    >>> hearts = phantom.prepare(Path("hearts"), cases=6, size=64)
    >>> _ = export(hearts, Path("Dataset101_Heart"))
    >>> prepare(Path("Dataset101_Heart"), Path("corpus"), patient="^(.+)_")
    Corpus('phantom-0', root='corpus', 6 cases, 4 classes)
    """
    dataset = read(source / DATASET)
    train, test = (_pairs(source, part, dataset, patient) for part in ("Tr", "Ts"))
    _tell_others(source)
    if not train and not test:
        raise InputError(f"{source}: no label file *{dataset.ending} in labelsTr; it needs one a case")
    if dataset.training not in (None, len(train)):
        there = f"{counted(len(train), 'file')} *{dataset.ending}"
        say(f"{source / DATASET}: numTraining is {dataset.training!r:.62}, but labelsTr has {there}")
    beside = tables.find([source, source / "labelsTr", source / "labelsTs"])
    tables.must_agree(dataset.classes, beside, DATASET)
    found = Found(source, [*train, *test], _bare(source, dataset, train, test))
    cuts, channels = pairs.cuts(found.pairs, axis), _channels(source, dataset, found.pairs, colours=colours)
    folder.tell_cuts(source, cuts)
    tested = frozenset(pair.patient for pair in test)
    splits = _splits(source / SPLITS, {pair.name: pair.patient for pair in train}, tested)
    return Corpus.write(
        root,
        folder.cases(found, dataset.classes, cuts.views, channels),
        name=dataset.name,
        classes=dataset.classes.names,
        folds=partial(_folds, splits=splits, tested=tested),
        source=dataset.source,
        axis=cuts.slicing.axis,
        across=cuts.slicing.across,
        radiological=cuts.slicing.radiological,
        channels=channels,
    )


def _channels(source: Path, dataset: Dataset, found: Sequence[Pair], *, colours: bool) -> tuple[Channel, ...]:
    """Return the channels that ``dataset.json`` says, if the files have as many."""
    said, coloured = dataset.channels, dataset.channels == COLOURS
    if coloured and colours:
        for pair in found:
            if not pair.others and image_files.read(pair.image).channels is None:
                raise InputError(
                    f"{pair.image}: has one channel, {DATASET} says {len(said)} (R, G, B); save it in colour, or take "
                    "all as grey by --grey"
                )
    said = () if coloured and not colours else said
    return pairs.channels_of(found, said, str(source / DATASET), colours=colours)


def read(path: Path) -> Dataset:
    """Read a ``dataset.json``.

    Raises
    ------
    InputError
        If it is missing or malformed, or says no suffix of files and those beside it have none or several.

    Examples
    --------
    >>> labels = '{"background": 0, "LV": 1, "ignore": 2}'
    >>> _ = Path("dataset.json").write_text(f'{{"labels": {labels}, "file_ending": ".png"}}')
    >>> read(Path("dataset.json")).classes
    Classes(names=('background', 'LV'), ignore=2, codes=None)
    """
    raw = _json(path)
    raw = as_type(raw, dict[str, Any], str(path))
    if "labels" not in raw:
        raise InputError(f"{path}: malformed, lacks labels; they are needed, as nnU-Net has them")
    if "dataset" in raw:
        raise InputError(f"{path}: lists files under 'dataset', allowed are imagesTr and labelsTr; put them there")
    _must_list_pairs(path, raw.get("training"))
    labels = _by_name(path, as_type(raw["labels"], dict[str, Any], f"{path}: malformed, labels"))
    said = raw["file_ending"] if "file_ending" in raw else _ending(path)
    ending = check_name(f"x{as_type(said, str, f'{path}: file_ending')}", f"{path}: file_ending")[1:]
    if regions := [name for name, code in labels.items() if type(code) is not int or abs(code) > MOST_CODE]:
        shown = in_one_line(str(labels[regions[0]]))[:60]
        raise InputError(f"{path}: label {regions[0]!r} is {shown}, allowed is one whole number; no regions")
    classes = _classes(path, labels)
    origin = ", ".join(str(raw[key]) for key in ("reference", "licence") if raw.get(key))
    said = next((key for key in CHANNELS if raw.get(key) is not None), None)
    channels = channels_from([] if said is None else _in_order(raw[said], f"{path}: {said}"))
    name, training = str(raw.get("name") or path.resolve().parent.name), raw.get("numTraining")
    return Dataset(name, classes, ending, origin, channels, training)


def _by_name(path: Path, labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return codes by name; nnU-Net v1 and the Decathlon have names by code."""
    if not labels or not all(code.isdecimal() and isinstance(name, str) for code, name in labels.items()):
        return labels
    made: dict[str, Any] = {}
    for code, name in labels.items():
        if name in made:
            raise InputError(
                f"{path}: labels {made[name]} and {code} are both {name!r:.62}, allowed is one; rename one"
            )
        made[name] = int(code)
    return made


def _ending(path: Path) -> str:
    """Return the suffix that all label files beside a ``dataset.json`` have, as nnU-Net v1 says none."""
    inside = [each for part in ("labelsTr", "labelsTs") for each in sorted(path.parent.glob(f"{part}/[!.]*"))]
    found = sorted({image_files.suffix(each) for each in inside if image_files.readable(each) and each.is_file()})
    if len(found) != 1:
        has = f"files end with {', '.join(found)}" if found else "there are no images"
        raise InputError(
            f"{path}: malformed, lacks file_ending, and in labelsTr {has}; allowed is one suffix, say which"
        )
    return found[0]


def _must_list_pairs(path: Path, listed_: object) -> None:
    """Refuse a list of images with labels of another name, as nnU-Net v1 has one: files are paired by their names."""
    for each in listed_ if isinstance(listed_, list) else ():
        image, label = (each.get(key) for key in ("image", "label")) if isinstance(each, dict) else (None, None)
        if not isinstance(image, str) or not isinstance(label, str):
            continue
        one, other = (image.rpartition("/")[2], label.rpartition("/")[2])
        if one != other and re.sub(r"_\d{4}(?=\.)", "", one, count=1) != other:
            raise InputError(
                f"{path}: training lists image {image!r:.100} with labels {label!r:.100}, allowed is one name for both "
                "(the image's may end with _0000); rename one"
            )


def _tell_others(source: Path) -> None:
    """Say which further folders of images or labels there are, as AMOS's for validation."""
    there = sorted(
        each.name for each in source.iterdir() if each.is_dir() and each.name.startswith(("images", "labels"))
    )
    if others := [f"{name}/" for name in there if name not in PARTS]:
        say(f"{source}: passed over, as images are read from {', '.join(PARTS)} alone: {listed(others, NAMED)}")


def _in_order(told: Any, where: str) -> list[str]:  # noqa: ANN401
    """Return names of channels in the order of their numbers, from 0 on; a list has them in order."""
    if isinstance(told, list):
        told = {str(place): name for place, name in enumerate(told)}
    table = told if isinstance(told, dict) else {"": told}
    numbers = [int(key) if key.isdecimal() else -1 for key in table]
    numbered = len(set(numbers)) == len(numbers) and min(numbers, default=0) == 0
    if not numbered or not all(isinstance(name, str) for name in table.values()):
        allowed = 'allowed are names by numbers from 0 on, such as {"0": "T1", "1": "CT"}'
        raise InputError(f"{where} is {in_one_line(str(told))[:60]}, {allowed}")
    return [name for _, name in sorted(zip(numbers, table.values(), strict=True))]


def channels_from(names: Sequence[str]) -> tuple[Channel, ...]:
    """Return the channels that nnU-Net's names of channels mean: some of its names are kinds.

    Examples
    --------
    >>> channels_from(["CT"]), channels_from(["R", "G", "B"]) == COLOURS
    ((Channel(name='CT', kind='CT', window=None, percentile=None, knee=None),), True)
    """
    if len(names) == len(COLOURS) and ([name.lower() for name in names] in _COLOURS):
        return COLOURS
    numbered = (f"{name} {place}" if names.count(name) > 1 else name for place, name in enumerate(names))
    return tuple(Channel(name, KINDS.get(of.lower(), "MR")) for name, of in zip(numbered, names, strict=True))


def _classes(path: Path, labels: Mapping[str, int]) -> Classes:
    """Return the classes in the order of their codes, the background first."""
    ignore = labels.get(IGNORED)
    codes = {name: code for name, code in labels.items() if name != IGNORED}
    given = ", ".join(f"{name} {code}" for name, code in labels.items())
    if odd := next((name for name in codes if folded(name) == IGNORED), None):
        raise InputError(
            f"{path}: label {odd!r}, allowed is {IGNORED!r} for what is not labelled, as nnU-Net has it; rename it"
        )
    by_code = next((name for name, code in codes.items() if code == 0), None)
    background = next((name for name in codes if folded(name) == BACKGROUND), by_code)
    if background is None or not 2 <= len(codes) <= MOST_CLASSES:
        raise InputError(
            f"{path}: labels are {given}; allowed are one called {BACKGROUND!r} or of code 0, and 1 to "
            f"{MOST_CLASSES - 1} others besides {IGNORED!r}"
        )
    names = [background, *sorted((name for name in codes if name != background), key=lambda name: codes[name])]
    placed = [codes[name] for name in names]
    unstroked = ignore == 0 and placed[0] == 0  # 0 means nothing drawn, and the background has no strokes
    made = coded(names, [None, *placed[1:]] if unstroked else placed, ignore, str(path))
    return made if ignore is not None else replace(made, ignore=None)


def _json(path: Path) -> Any:  # noqa: ANN401
    if not path.is_file():
        raise InputError(f"{path}: missing; name the folder DatasetNNN_… of nnUNet_raw")
    return read_json(path)


def _pairs(source: Path, part: str, dataset: Dataset, patient: str | None) -> list[Pair]:
    """Return the files of the cases in ``imagesTr`` or ``imagesTs`` that have labels."""
    images, labels = source / f"images{part}", source / f"labels{part}"
    if not images.is_dir() or not labels.is_dir():
        return []
    found = []
    for path in sorted(labels.glob(f"[!.]*{dataset.ending}")):
        name = path.name.removesuffix(dataset.ending)
        image = images / f"{name}_0000{dataset.ending}"
        if not image.is_file() and (only := images / path.name).is_file():
            image = only  # as in the Decathlon
        if not image.is_file():
            raise InputError(f"{path}: its image {image} is missing; add it, or remove the labels")
        image_files.suffix(path)
        files = sorted(images.glob(f"{glob.escape(name)}_[0-9][0-9][0-9][0-9]{dataset.ending}"))
        others = several.grouped(files).get(name, (image,))[1:]
        # Where 0 means nothing drawn, a mask of all pixels can't be told by its codes; labels to test with are masks.
        dense = part == "Ts" and dataset.classes.ignore == 0
        mask, either = (path, None) if dense else (None, path)
        whose = folder.named_patient(path, name, patient)
        found.append(Pair(name, whose, image, mask=mask, either=either, others=others))
    return found


def _bare(source: Path, dataset: Dataset, train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return the names of images without labels, and say on stderr which files have another ending."""
    bare = []
    for part, pairs_ in (("Tr", train), ("Ts", test)):
        images, labels = source / f"images{part}", source / f"labels{part}"
        if not images.is_dir() or not labels.is_dir():  # images to predict
            continue
        known = {path for pair in pairs_ for path in pair.images}
        bare += sorted(path.name for path in images.glob(f"[!.]*{dataset.ending}") if path not in known)
        for place in (images, labels):
            others = (path for path in place.iterdir() if not path.name.endswith(dataset.ending))
            odd = sorted(path.name for path in others if image_files.strange(path) or image_files.readable(path))
            if odd:
                say(f"{place}: passed over, as {DATASET} says {dataset.ending}: {listed(odd, NAMED)}")
    return bare


def _folds(
    entries: Sequence[Entry], *, splits: tuple[Split, ...] | None, tested: frozenset[str]
) -> Mapping[str, Sequence[Split]]:
    own = folds([entry for entry in entries if entry.patient not in tested])
    there = {entry.patient for entry in entries}  # without cases that were left out, as nothing is labelled in them
    test = tuple(sorted(tested & there))
    held = {scheme: [replaced._replace(test=(*replaced.test, *test)) for replaced in own[scheme]] for scheme in own}
    if splits is None:
        return held
    kept = [Split(*(tuple(name for name in part if name in there) for part in split)) for split in splits]
    return {"splits": kept, **held}


def _splits(path: Path, patients: Mapping[str, str], tested: frozenset[str]) -> tuple[Split, ...] | None:
    if not path.is_file():
        return None
    made = []
    for number, fold in enumerate(as_type(_json(path), list[dict[str, Any]], str(path))):
        for part in ("train", "val"):  # a text alone would be taken for its letters
            as_type(fold.get(part, []), list[str], f"{path}: fold {number}: {part}")
        try:
            train, val = ({patients[name] for name in fold[part]} for part in ("train", "val"))
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: fold {number}: no case {error} in labelsTr; correct the file") from None
        if both := train & val:
            raise InputError(f"{path}: fold {number}: patient {min(both)!r} is in train and in val; allowed is one")
        made.append(Split(tuple(sorted(train)), tuple(sorted(val)), tuple(sorted(tested))))
    if not made:
        raise InputError(f"{path}: has no folds, at least one is needed; delete the file, or add them")
    return tuple(made)
