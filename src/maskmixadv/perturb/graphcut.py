"""The best of two labels for every cell of a grid, by a minimum cut."""

import numpy as np
import scipy
from jaxtyping import Bool, Float

STEPS = 10_000
"""Capacities are whole numbers: costs are rounded to so many steps a unit."""


def smallest_cut(
    *,
    chosen: Float[np.ndarray, "r c"],
    left: Float[np.ndarray, "r c"],
    down: Float[np.ndarray, "r-1 c"],
    right: Float[np.ndarray, "r c-1"],
) -> Bool[np.ndarray, "r c"]:
    """Choose cells so that the sum of costs is smallest; exact, by maximum flow (Greig et al., JRSS B, 1989).

    Parameters
    ----------
    chosen, left
        What a cell costs that is chosen, or is not.
    down, right
        What it costs, at least 0, if a cell is chosen and the one below it, or to its right, is not, or the other
        way round.
    """
    r, c = chosen.shape
    number = np.arange(r * c).reshape(r, c)
    source, sink = r * c, r * c + 1
    surplus = (left - chosen).ravel()
    edges = [
        (np.full(r * c, source), number.ravel(), surplus.clip(min=0)),
        (number.ravel(), np.full(r * c, sink), (-surplus).clip(min=0)),
    ]
    for one, other, cost in ((number[:-1], number[1:], down), (number[:, :-1], number[:, 1:], right)):
        edges += [(one.ravel(), other.ravel(), cost.ravel()), (other.ravel(), one.ravel(), cost.ravel())]
    rows, columns, costs = (np.concatenate(part) for part in zip(*edges, strict=True))
    capacity = np.rint(costs * STEPS).clip(max=np.iinfo(np.int32).max // 8).astype(np.int32)
    graph = scipy.sparse.csr_matrix((capacity, (rows, columns)), shape=(sink + 1, sink + 1))
    residual = graph - scipy.sparse.csgraph.maximum_flow(graph, source, sink).flow
    residual.eliminate_zeros()
    reached = np.zeros(sink + 1, dtype=bool)
    reached[scipy.sparse.csgraph.breadth_first_order(residual, source, return_predecessors=False)] = True
    return reached[: r * c].reshape(r, c)
