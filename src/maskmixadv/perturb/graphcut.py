"""The best of two labels for every cell of a grid, by a minimum cut of a graph."""

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
    """Choose the cells of a grid so that the sum of costs is smallest.

    The choice is exact, by maximum flow (Greig et al., JRSS B, 1989), for costs rounded to multiples of ``1 / STEPS``.

    Parameters
    ----------
    chosen, left
        Cost of a cell that is chosen, and of one that is not; ``(r, c)``.
    down, right
        Cost, at least 0, where of a cell and the one below it, or to its right, one is chosen and the other is not;
        ``(r - 1, c)`` and ``(r, c - 1)``.

    Returns
    -------
    Bool[np.ndarray, "r c"]
        True for cells that are chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.perturb.graphcut import smallest_cut
    >>> wish = np.array([[3.0, -1.0, 3.0]])  # the middle cell alone would rather not be chosen
    >>> for cost in (0.1, 2.0):
    ...     smallest_cut(chosen=-wish, left=0 * wish, down=np.zeros((0, 3)), right=np.full((1, 2), cost))
    array([[ True, False,  True]])
    array([[ True,  True,  True]])
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
