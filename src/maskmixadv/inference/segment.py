"""Prediction of files: images in, labels and their volumes out; a file that can't be read does not stop the others."""

import signal
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from maskmixadv.corpus.channels import Channel, called, scaled
from maskmixadv.errors import InputError, counted, listed, say
from maskmixadv.files import held, no_file, write_text
from maskmixadv.formats import image_files, nifti, series, several
from maskmixadv.formats.dicom_header import CONTOURS
from maskmixadv.formats.reading import NAMED
from maskmixadv.inference import outputs
from maskmixadv.inference.predictor import Predictor
from maskmixadv.inference.standalone_files import is_text
from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import CaseVolumes
from maskmixadv.processes import hearing, used
from maskmixadv.runs.run import Run
from maskmixadv.sources.folder import IMAGES
from maskmixadv.sources.layouts import gathered
from maskmixadv.sources.marks import kept_axes
from maskmixadv.sources.pairs import seen
from maskmixadv.spelling import as_file
from maskmixadv.tabular import read_csv

VOLUMES: Final = "clinical.csv"
"""Name of the file with the volumes of what was segmented."""
CUT: Final = (
    "slices are cut along array axis {}, as its header or the studio says; those of most learnt images lie "
    "along axis {}"
)
_NONE: Final = f"no {image_files.SUFFIXES[0]} file in this folder, nor any of {', '.join(image_files.SUFFIXES[1:])}"
_APART: Final = "channels of one image that are files of their own are called NAME_0000, NAME_0001 and so on in order"


def segment(
    root: Path,
    images: Sequence[Path],
    out: Path,
    *,
    flips: bool = False,
    largest: bool | None = None,
    odds: bool = True,
    device: str | None = None,
) -> int:
    """Segment image files, and write each one's labels into `out`, under the image's name and on its grid.

    The volumes of the structures go into ``clinical.csv``, beside those of images of earlier calls. Slices are cut and
    turned by the rule of those that the run learnt from, as each file's own header says; those of an image in a folder
    that the studio keeps, as they are there. Files in `out` that an earlier call wrote are replaced, and no others;
    they are deleted where their image can't be segmented now. Labels of another image of the same name, of which only
    the suffix differs, are not joined.

    Parameters
    ----------
    root
        The run's directory.
    images
        Image files, or folders of them. A folder with the files of one DICOM series is one image. Files that are called
        as annotations beside images in a folder are left out (`maskmixadv.sources.layouts.gathered.annotations`).
    out
        Directory for the labels, another one than the images'; made where it is missing.
    flips
        Average over the eight right-angle turns and flips in plane, if training drew them.
    largest
        Whether only the largest connected piece of each structure is kept. None: of those that the run found in one
        piece (`maskmixadv.runs.pieces`).
    odds
        Whether classes have the odds that masks of validation patients gave (`maskmixadv.runs.odds`); else
        probabilities are the network's own.
    device
        Where to predict, such as ``cpu`` or ``cuda:0``; None: the fastest device that is there.

    Returns
    -------
    The exit code: 0, or 2 where a file could not be segmented. Each such file has a line on stderr, and the others are
    segmented.

    Raises
    ------
    InputError
        Where the run, the list of files or the output directory can't serve, as one that holds labels of another
        network, or with other options; nothing is segmented then.

    Examples
    --------
    >>> from pathlib import Path
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=1, size=48, window=32)
    >>> import nibabel as nib
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    >>> nib.save(nib.Nifti1Image(image, np.diag([1.5, 1.5, 8, 1])), "heart.nii.gz")
    >>> segment(run.root, [Path("heart.nii.gz")], Path("labels"), device="cpu")
    labels: 1 of 1 volumes segmented
    0
    >>> nib.load("labels/heart.nii.gz").shape
    (40, 40, 3)
    """
    paths, wrong = _files(images)
    cases = _cases(paths, Run.open(root).learnt_from.channels)
    outputs.apart(out, paths)
    names = [*(case.labels for case in cases), VOLUMES]
    outputs.free(out, names)
    _one_of_a_name(out, cases)
    predictor = Predictor.load(root, device, odds=odds)
    how = {"flips": predictor.averages(flips), "largest": largest}
    made = outputs.Made(predictor.network, predictor.told(**how))
    again = [*(name for case in cases for name in case.may_be), VOLUMES]
    lost: list[int] = []
    measured: list[CaseVolumes] = []
    told = set[str]()
    with outputs.made_alike(out, made, again), outputs.recorded(out, names):
        try:
            with hearing(signal.SIGTERM, call=_as_by_ctrl_c):
                for found in _segmented(predictor, cases, names, out, how, lost):
                    measured.append(found)  # noqa: PERF402  (what is done counts, where the program is stopped)
        finally:
            left = {case.name for case in cases if not any((out / name).is_file() for name in case.may_be)}
            told = _write_volumes(out / VOLUMES, measured, left.union(each.case for each in measured))
    _tell_unmeasured(out, told)
    if any(lost):
        some, voxels = sum(map(bool, lost)), sum(lost)
        beside = f"{counted(voxels, 'voxel')} beside the largest piece of {predictor.alone(largest)}"
        say(f"{out}: in {some} of {len(lost)} volumes {beside} became background; '--pieces all' keeps it")
    if len(measured) < len(cases) and _apart(cases, predictor.channels):
        say(f"{out}: {_APART}: {listed(called(predictor.channels))}")
    print(f"{out}: {len(measured)} of {len(cases) + wrong} volumes segmented")
    return 0 if len(measured) == len(cases) + wrong else 2


def _as_by_ctrl_c(*_: object) -> None:
    """Be stopped by a termination signal as by Ctrl-C: else what was segmented would have no line of volumes."""
    raise KeyboardInterrupt


def _one_of_a_name(out: Path, cases: Sequence["_Image"]) -> None:
    """Refuse labels beside those of another image of the same name: both would share a line of ``clinical.csv``."""
    of = {as_file(case.name): case for case in cases}
    for name in outputs.written(out):
        case = None
        with suppress(InputError):  # it is no image's labels
            case = of.get(as_file(image_files.stem(out / name)))
        if case is not None and name not in case.may_be and (out / name).is_file():
            told = f"labels of another image that is called as {case.files[0]} without its suffix are there already"
            raise InputError(f"{out / name}: {told}; name another directory")


def _write_volumes(path: Path, measured: Sequence[CaseVolumes], names: Collection[str]) -> set[str]:
    """Write ``clinical.csv``; lines of images that were measured earlier stay where they are none of `names`.

    Returns those that lose their line as the other phase is measured anew, each of which is told.
    """
    told = set[str]()
    with held(path.parent, wait=True):  # several processes may write into one folder
        stay = list[dict[str, str]]()
        for line in read_csv(path) if path.is_file() else ():
            cases = {line[column] for column in clinical.CASES if line.get(column)}
            if cases.isdisjoint(names):
                stay.append(line)
            elif lost := sorted(cases.difference(names)):
                told.add(lost[0])
                say(f"{path}: without {lost[0]}, as the other phase is measured anew; predict both in one call")
        if measured or stay:
            write_text(path, clinical.table(clinical.records(clinical.with_phases(measured)), stay))
        else:
            path.unlink(missing_ok=True)
    return told


def _tell_unmeasured(out: Path, told: Collection[str]) -> None:
    """Say which labels in `out` have no line in ``clinical.csv``, but for images that were `told` already.

    Their call was killed before it wrote the lines, or they are an exported model's, which measures none.
    """
    if used(out):  # another process writes its lines when it ends, and looks then
        return
    lines = read_csv(out / VOLUMES) if (out / VOLUMES).is_file() else []
    known = {*told, *(line[column] for line in lines for column in clinical.CASES if line.get(column))}
    without = list[str]()
    for name in outputs.written(out):
        with suppress(InputError):  # it is no image's labels
            if (out / name).is_file() and image_files.stem(out / name) not in known:
                without.append(name)
    if without:
        why = "which a call that was killed or an exported model wrote"
        say(f"{out / VOLUMES}: without {listed(sorted(without))}, {why}; predict these images again")


class _Image(NamedTuple):
    """An image to segment: its name, its files, one a channel, the name of its labels' file, and an axis.

    The axis is the one along which the studio keeps cutting it; None: the network's rule says it.
    """

    name: str
    files: tuple[Path, ...]
    labels: str
    axis: int | None

    @property
    def may_be(self) -> tuple[str, ...]:
        """Names that the labels' file may get: NIfTI takes the place of a DICOM SEG that can't be made."""
        seg = series.LABELS_AS[""]
        as_nifti = [self.labels.removesuffix(seg) + nifti.SUFFIXES[0]] if self.labels.endswith(seg) else []
        return self.labels, *as_nifti


def _apart(cases: Sequence[_Image], channels: Sequence[Channel]) -> bool:
    """Whether files may be channels that are not called so, as the cases of public data sets have them."""
    return _several_files(channels) and len(cases) > 1 and all(len(case.files) == 1 for case in cases)


def _several_files(channels: Sequence[Channel]) -> bool:
    return len(channels) > 1 and channels[0].kind != "RGB"


def _cases(paths: Sequence[Path], channels: Sequence[Channel]) -> list[_Image]:
    """Return the images of files; where a run has channels that are no colours, ``NAME_0000`` and so on are one."""
    found = several.grouped(paths) if _several_files(channels) else {image_files.stem(path): (path,) for path in paths}
    axes = _kept_axes({name: files[0] for name, files in found.items()})
    return [_Image(name, files, _labels_name(name, files[0]), axes.get(name)) for name, files in found.items()]


def _kept_axes(images: Mapping[str, Path]) -> dict[str, int]:
    """Return the axes along which the studio cuts those images that lie in folders that it keeps."""
    kept = dict[str, int]()
    places = {name: image.absolute().parent for name, image in images.items()}
    for place in {place for place in places.values() if place.name == IMAGES}:
        kept |= kept_axes(place.parent, {name: image for name, image in images.items() if places[name] == place})
    return kept


def _labels_name(name: str, path: Path) -> str:
    """Return the name of the labels of image `name`, whose first file is `path`; channels' numbers are left out."""
    own = image_files.labels_name(path)
    return own if image_files.stem(path) == name else name + image_files.labels_suffix(path)


def _segmented(
    predictor: Predictor,
    cases: Sequence[_Image],
    names: Sequence[str],
    out: Path,
    how: dict[str, Any],
    lost: list[int],
) -> Iterator[CaseVolumes]:
    """Segment each image that can be segmented, and say on stderr what is wrong with the others.

    How many voxels each one has lost, as they lie beside the largest piece, is added to `lost`.
    """
    for case in _shown(cases):
        path = case.files[0]
        try:
            yield _one(predictor, case, names, out, how, lost)
        except InputError as error:
            told = str(error) if path.name in str(error) else f"{path}: {error}"
        except Exception as error:  # whatever a library made of it costs this file alone
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            told = f"{path}: can't be segmented ({said})"
        else:
            continue
        earlier = outputs.remove(out, case.may_be)  # else they would be taken for new ones
        gone = (
            f"; {listed(earlier)} of an earlier call {'is' if len(earlier) == 1 else 'are'} deleted" if earlier else ""
        )
        say(f"maskmixadv: {told}{gone}")


def _shown(cases: Sequence[_Image]) -> Iterable[_Image]:
    """Yield `cases`, with a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        return cases
    from rich.progress import track  # slow to import

    return track(cases, description="predict")


def _one(
    predictor: Predictor, case: _Image, names: Sequence[str], out: Path, how: dict[str, Any], lost: list[int]
) -> CaseVolumes:
    volume, path = several.read(case.files), case.files[0]
    place = volume.geometry.labels_path(out / case.labels, predictor.classes)
    if place.name != case.labels:
        if place.name in names:
            raise InputError(f"{place}: labels of another image have this name; predict {path} apart")
        outputs.free(out, [place.name])
    became = ("colours become grey",) if volume.coloured and len(predictor.channels) == 1 else ()
    for file, notes in zip(case.files, volume.notes_by_file or ((*volume.notes, *became),), strict=True):
        for note in notes:
            say(f"maskmixadv: note: {file}: {note}")
    view = seen(predictor.slicing, volume.header, case.axis)
    axis = view.axis
    if axis != predictor.axis and volume.header.single is None:
        say(f"maskmixadv: note: {path}: {CUT.format(axis, predictor.axis)}")
    turned = volume.seen(view)
    image = scaled(turned, predictor.channels, str(path))
    drawn = predictor.labels(image, turned.spacing, flips=how["flips"], largest=False)
    labels = predictor.kept(drawn, how["largest"])
    with nullcontext() if place.name == case.labels else outputs.recorded(out, [place.name]):
        image_files.write_labels(place, view.back(labels), volume, predictor.classes)
    if gone := outputs.remove(out, [name for name in case.may_be if name != place.name]):
        say(f"{out / gone[0]}: of an earlier call is deleted, as labels of {path} are {place.name} now")
    lost.append(int(np.count_nonzero(drawn != labels)))
    return clinical.volumes(case.name, labels, classes=predictor.classes, spacing=turned.spacing)


def _files(images: Sequence[Path]) -> tuple[list[Path], int]:
    """Return the image files among files and folders, and how many others were named, each with a line on stderr."""
    paths: list[Path] = []
    wrong: list[InputError] = []
    beside: list[InputError] = []  # a shell's * names them, too
    for image in images:
        if error := _no_image(image):
            (beside if image.exists() and not image_files.strange(image) else wrong).append(error)
            continue
        folder = image_files.several_in(image)
        inside = sorted(p for p in image.iterdir() if image_files.readable(p)) if folder else [image]
        if not inside:
            raise InputError(f"{image}: {_nested(image) or _NONE}")
        beside_images = gathered.annotations(inside) if folder else []
        if beside_images:
            left_out = listed([path.name for path in beside_images], NAMED)
            say(f"{image}: left out, as they are called as annotations: {left_out}; name each to segment it")
        paths += [path for path in inside if path not in beside_images]
        if folder and (left := sorted(p.name for p in image.iterdir() if p not in inside and image_files.strange(p))):
            contours = [path.name for path in series.contours(image)]
            if contours:
                say(f"{image}: {CONTOURS}: {listed(contours, NAMED)}")
            if left := [name for name in left if name not in contours]:
                say(f"{image}: passed over, as no image of a known format: {listed(left, NAMED)}")
    nameless = [path for path in paths if not is_text(path.name)]
    wrong += [
        InputError(f"{str(path)!r}: its name is no UTF-8, as that of its labels must be; rename it")
        for path in nameless
    ]
    paths = [path for path in paths if path not in nameless]
    if not paths:
        none = InputError("predict: no image given, at least one file or folder is needed")
        raise next(iter((*wrong, *beside)), none)
    for error in (*wrong, *beside):
        say(f"maskmixadv: {error}")
    of: dict[str, Path] = {}
    for path in paths:
        if (other := of.setdefault(as_file(image_files.stem(path)), path)) is not path:
            but = "" if image_files.stem(path) == image_files.stem(other) else " (but for upper and lower case)"
            told = f"{other} has this name without suffix, too{but}"
            raise InputError(f"{path}: {told}, by which labels and volumes go; predict them apart")
    return paths, len(wrong)


def _nested(folder: Path) -> str:
    """Say what to do with a folder that has images in the folders in it alone; an empty text where it has none."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."]
    held = [path for path in inside if any(map(image_files.readable, path.iterdir()))]
    if not held:
        return ""
    told = f"images lie in {counted(len(held), 'folder')} in it, such as {held[0].name}/, and none in it itself"
    return f"{told}; put all into one folder under names of their own ({_APART})"


def _no_image(path: Path) -> InputError | None:
    """Return what is wrong with a file or folder that is not there, or is no image by its name."""
    if not path.exists():
        return InputError(f"{path}: no such file or folder")
    if not (path.is_file() or path.is_dir()):
        return InputError(f"{path}: {no_file(path)}")
    try:
        image_files.suffix(path)
    except InputError as error:
        return error
    return None
