"""The process that reads for others knows nothing of where this one stands."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from maskmixadv.formats import apart


def test_relative_paths_are_those_of_the_process_that_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("one", 1.0), ("two", 2.0)):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "a.h5", "w") as file:
            file["image"] = np.full((2, 3), value)
    for name, value in (("one", 1.0), ("two", 2.0)):
        monkeypatch.chdir(tmp_path / name)
        array = np.empty((2, 3))
        with apart.reader() as process:  # one process, which keeps the directory that it was started in
            process.header(Path("a.h5"), "HDF5 file", {"hdf5": "a.h5", "name": "image"})
            process.values(Path("a.h5"), "HDF5 file", array)
        assert (array == value).all()
