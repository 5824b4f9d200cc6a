"""What leaves the studio: the labels that its page shows, as masks, volumes, meshes, pictures, models and data sets."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.studio.answers import ClinicalAnswer, SliceCounts
from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.export.kinds import ExportKind
from maskmixadv.studio.export.masks import CaseMask, State, write_masks
from maskmixadv.studio.export.meshes import write_meshes
from maskmixadv.studio.export.model import write_model
from maskmixadv.studio.export.nnunet import write_nnunet
from maskmixadv.studio.export.overlays import write_overlays
from maskmixadv.studio.export.segmentations import write_segmentations
from maskmixadv.studio.export.volumes import counted, write_volumes
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.layout import Layout, printable
from maskmixadv.studio.learning import corpus
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.masks import Masks
from maskmixadv.studio.refusals import TakenError
from maskmixadv.studio.review.heart import measured
from maskmixadv.studio.review.looked import Looked
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.types import IGNORE, Spacing


class Outputs:
    """Collects the labels that the page shows, and writes them.

    Parameters
    ----------
    layout
        Of the folder.
    cases, predictions, accepted, corrected, looked, masks, scribbles
        What is known of its images, what networks said of them, and what people did.
    """

    def __init__(
        self,
        layout: Layout,
        cases: Cases,
        predictions: StoredPredictions,
        accepted: Accepted,
        corrected: Corrected,
        looked: Looked,
        masks: Masks,
        scribbles: Scribbles,
    ) -> None:
        self._layout, self._cases, self._predictions, self._accepted = layout, cases, predictions, accepted
        self._corrected, self._looked, self._masks, self._scribbles = corrected, looked, masks, scribbles

    def clinical(self) -> ClinicalAnswer:
        """Return the volumes of all cases with labels in each slice, and the measures of hearts.

        Rejected slices hold no structure, as in meshes.
        """
        if not self._any_labels():
            return ClinicalAnswer([], {}, None, [])
        with self._layout.at_once():
            return self._clinical()

    def _clinical(self) -> ClinicalAnswer:
        names, problems = [each.name for each in self._scribbles.palette.classes], list[str]()
        slices, masks = dict[str, SliceCounts](), list[tuple[str, UInt8[np.ndarray, "_ _ _"], Spacing | None]]()
        partly = list[str]()
        for mask in self.masks(problems):
            if not mask.known:
                partly.append(mask.case)
                continue
            masks.append((mask.case, mask.without_rejected(0), mask.shown.volume.spacing))
            slices[mask.case] = counted(mask)
            problems += filter(None, [mask.lacking()])
        if partly:
            problems.append(f"no volumes of {', '.join(partly)}: slices of theirs have no labels")
        cases, hearts = measured(masks, names)
        return ClinicalAnswer(cases, slices, hearts or None, list(map(printable, problems)))

    def write(self, what: ExportKind) -> tuple[Path, int, list[str]]:
        """Write what is asked for; returns where, the number of files, and what to tell of it.

        Raises
        ------
        RequestError
            If there is nothing to export, or this installation can't export it.
        """
        if what == "nnunet":
            dense = corpus.Dense(self._accepted, self._corrected, self._looked)
            learnt = corpus.corpus(self._layout, self._cases.known(), dense)
            problems = list(learnt.left_out)
            return *write_nnunet(self._layout, learnt.corpus, problems), problems
        run = self._predictions.latest()
        if what == "model" and run is not None:
            names, problems = [each.name for each in self._scribbles.palette.classes], list[str]()
            return *write_model(self._layout, run, names, problems), problems
        if what == "model" or not self._any_labels():
            raise TakenError("nothing is predicted, accepted or painted yet; train first")
        return self._export_masks(what)

    def _any_labels(self) -> bool:
        """Whether there is anything that exports could hold."""
        by_hand = self._corrected.any_painted() or bool(self._accepted.cases())
        return by_hand or self._predictions.latest() is not None

    def _export_masks(self, what: ExportKind) -> tuple[Path, int, list[str]]:
        out, problems, palette = self._layout.check(self._layout.export / what), list[str](), self._scribbles.palette
        masks, names = self.masks(problems), [each.name for each in palette.classes]
        if what == "volumes":
            measures = self.clinical()
            problems += measures.problems
            return *write_volumes(self._layout.check(self._layout.export), measures, names, problems), problems
        if what == "seg":
            files = write_segmentations(out, masks, palette.classes, problems)
        elif what == "meshes":
            files = write_meshes(out, masks, names, problems)
        elif what == "overlays":
            files = write_overlays(out, masks, palette.classes, problems)
        else:
            files = write_masks(out, masks, problems, ignore=palette.rejected)
        return out, files, problems

    def masks(self, problems: list[str]) -> Iterator[CaseMask]:
        """Yield what the page shows: the latest predictions, with accepted and corrected slices as people left them.

        Each case is yielded or named in a line that is appended to `problems`, also one whose image is gone. So is
        each slice that can't be read.
        """
        run, images, without = self._predictions.latest(), self._cases.known().images, list[str]()
        for case in images:
            lost = list[str]()
            try:
                mask = self._mask(case, run, lost)
            except InputError as error:
                problems += [*lost, str(error)]
                continue
            problems += lost
            if mask is not None:
                yield mask
            elif not lost:
                without.append(case)
        problems += _left_out(without, [case for case in self._masks.cases() if case not in images], run)

    def _mask(self, case: str, run: str | None, problems: list[str]) -> CaseMask | None:
        """Return what the page shows of a case; None where nothing of it has labels."""
        shown, view = self._cases.open(case)
        axis, shape = view.axis, shown.volume.array.shape
        verdicts = self._masks.verdicts(case, view, shape)
        latest = None if run is None else self._predictions.labels(run, case, shape)
        if latest is not None:
            self.check_classes(latest, case, str(run))
        painted = self._corrected.dense(case, axis, shape)
        slices, lost = self._accepted.of(case, shape, axis, len(self._scribbles.palette.classes))
        if latest is None and not painted and not slices:
            problems += lost
            return None
        labels = np.full(shape, IGNORE, np.uint8) if latest is None else latest.copy()
        states: list[State] = ["unlabelled" if latest is None else "predicted"] * shape[axis]
        problems += lost
        planes = np.moveaxis(labels, axis, 0)
        for index, accepted in slices.items():
            planes[index], states[index] = accepted.labels, "accepted"
        for index in (index for index, said in verdicts.items() if said == "rejected"):
            states[index] = "rejected"
        for index in painted:
            planes[index] = np.moveaxis(self._corrected.read(case, shape), axis, 0)[index]
            states[index] = "corrected"
        judged = {index for index in verdicts if index in slices or states[index] == "rejected"}
        looked = frozenset({*self._looked.at(case, run, shape[axis]), *judged, *painted})
        return CaseMask(case, shown, view, labels, tuple(states), looked)

    def check_classes(self, labels: np.ndarray, case: str, run: str) -> None:
        """Refuse a run's labels of a class that there is not, as when ``classes.toml`` was replaced."""
        if (most := int(labels.max(initial=0))) >= (count := len(self._scribbles.palette.classes)):
            name = f"predictions/{run}/{case}.nii.gz"
            raise InputError(f"{name}: holds class {most}, allowed are 0 to {count - 1}; train again")


def _left_out(without: Sequence[str], gone: Sequence[str], run: str | None) -> Iterator[str]:
    """Yield a line for the cases that lie there `without` labels, and one for those whose images are `gone`."""
    if without:
        by = "" if run is None else f" by run {run}"
        of = "it" if len(without) == 1 else "them"
        yield f"{', '.join(without)}: not predicted{by}, and nothing of {of} is accepted or painted"
    if gone:
        yield f"{', '.join(gone)}: judged or painted, and there is no image of this name; put the image back"
