"""The tests' own check of types and shapes."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from matplotlib.figure import Figure

from maskmixadv.pictures import overlay


def test_wrong_shapes_are_refused_at_the_first_call_and_later() -> None:
    axes = Figure().subplots()
    image, labels = np.zeros((8, 6)), np.zeros((8, 6), np.uint8)
    for _ in range(2):
        with pytest.raises(TypeCheckError, match="labels"):
            overlay(axes, image, labels[1:], ["background", "LV"])
        overlay(axes, image, labels, ["background", "LV"])
