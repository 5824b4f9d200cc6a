"""Cases that could never be scored, as the network's grid can't show them, are named before a run begins."""

from pathlib import Path

import numpy as np
import pytest

import maskmixadv as mma


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_held_out_case_without_spacing_is_named_before_a_training(tmp_path: Path, part: str) -> None:
    """A run trained for hours, and its evaluation refused the fold's patients."""
    rng = np.random.default_rng(0)

    def case(name: str, spacing: tuple[float, float, float] | None, *, masked: bool = True) -> mma.Case:
        dense = np.zeros((2, 16, 16), np.uint8)
        dense[:, 4:9, 4:9] = 1
        strokes = np.where(rng.random(dense.shape) < 0.3, dense, 255).astype(np.uint8)
        return mma.Case.from_arrays(
            rng.random(dense.shape), name=name, spacing=spacing, scribble=strokes, dense=dense if masked else None
        )

    for masked in (True, False):
        cases = [case("a", (8, 1.5, 1.5)), case("b", None, masked=masked)]
        split = mma.Split(train=("a",), val=("b",) if part == "val" else (), test=("b",) if part == "test" else ())
        corpus = mma.make_corpus(tmp_path / f"corpus-{masked}", cases, classes=["background", "LV"], folds=[split])
        how = {"method": "pce", "preset": "cpu", "steps": 1, "size": 16, "window": 16}
        if not masked:  # nothing to score it against
            mma.train(corpus, tmp_path / "run", **how)
            return
        with pytest.raises(mma.InputError, match="b: image has no voxel spacing, and the grid is in mm"):
            mma.train(corpus, tmp_path / "run", **how)
        assert not (tmp_path / "run").exists()
