"""Earth mover's distance between attention maps: how far mass must be moved, in pixels.

Both maps are divided by their sum first. The distance of two cells is Euclidean, in pixels of the processed frame; a
second counts as so many pixels (:class:`Geometry`). As that is a metric, mass which both maps have in a cell stays
there, and only the differences are moved, from the cells with too much (sources) to those with too little (sinks).

:func:`between_frames` is exact, by the network simplex of POT. :func:`between_volumes` moves up to 15,360 cells, for
which a full table of distances is slow: it moves mass along a few well-chosen routes, and proves how good that is:

- any way to move the mass, whatever routes it may take, costs at least the distance: the upper bound;
- for any dual values u of the sources and v of the sinks with u(s) + v(t) <= distance(s, t) for every pair, the sum of
  value x mass is at most the distance (duality of linear programs): the lower bound. The simplex gives u; the greatest
  v to go with it is found over all pairs.

The first routes are those of the exact solution on blocks of 2 x 2 x 2 cells; then every sink gets the routes on which
distance - u is least, until the bounds meet the tolerance. (Coarse to fine with a check on all pairs, as in Schmitzer
2016, "A sparse multiscale algorithm for dense optimal transport".)
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import ot
from scipy import sparse
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ITERATIONS = 100_000_000  # a bound against endless runs, far above what a map needs (some 10,000)
BLOCK = (2, 2, 2)
NEAR = 12  # routes that each sink gets in one round
ROUNDS = 20
ROWS = 1024  # of the table of distances, at a time: some megabytes
EXACT = 1e-9  # relative error that no solution in 64 bits falls below
SMALLEST = 1e-15  # of the mass; less is rounding


@dataclass(frozen=True)
class Geometry:
    """Where the cells of a map lie.

    Attributes:
        cell_px: width and height of a cell, in pixels of the processed frame.
        frame_s: time from one frame to the next.
        px_per_s: how many pixels a second counts as, the exchange rate.
    """

    cell_px: float = 1.0
    frame_s: float = 1.0
    px_per_s: float = 1.0

    def places(self, shape: tuple[int, ...]) -> Array:
        """Of every cell of a map (T, H, W) or (H, W), in pixels, (cells, 3 or 2)."""
        steps = np.array([self.frame_s * self.px_per_s, self.cell_px, self.cell_px])[-len(shape) :]
        return np.indices(shape).reshape(len(shape), -1).T * steps


@dataclass(frozen=True)
class Bounded:
    """A distance in pixels, and what it is proven to lie between; undefined (NaN) if a map is empty.

    Attributes:
        value: cost of the best way that was found to move the mass; equal to ``high``.
        low: no way costs less.
        high: the distance is at most this.
    """

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Largest relative error that ``value`` may have."""
        return (self.high - self.low) / self.low if self.high > self.low else 0.0


UNDEFINED = Bounded(np.nan, np.nan, np.nan)


class UnconvergedError(RuntimeError):
    """The network simplex stopped without a solution; no number can be given."""


def between_frames(first: npt.ArrayLike, second: npt.ArrayLike, geometry: Geometry | None = None) -> Array:
    """Exact distance of every frame to its counterpart.

    Args:
        first: (T, H, W), non-negative.
        second: likewise.
        geometry: the size of the cells; 1 pixel by default.

    Returns:
        (T,) in pixels; NaN where either frame is empty.

    Raises:
        UnconvergedError: the solver gave up.
    """
    one, other = _pair(first, second)
    places = (geometry or Geometry()).places(one.shape[1:])
    return np.array([_frame(a, b, places) for a, b in zip(one, other, strict=True)])


def between_volumes(
    first: npt.ArrayLike, second: npt.ArrayLike, geometry: Geometry | None = None, tolerance: float = 0.01
) -> Bounded:
    """Distance of two maps over space and time, with proven bounds.

    Args:
        first: (T, H, W), non-negative.
        second: likewise.
        geometry: the size of the cells and the exchange rate of time.
        tolerance: largest relative error; 0 asks for the exact distance.

    Raises:
        UnconvergedError: the solver gave up, or the bounds did not meet the tolerance.
    """
    one, other = _pair(first, second)
    if not one.any() or not other.any():
        return UNDEFINED
    places = (geometry or Geometry()).places(one.shape)
    difference = _share(one) - _share(other)
    if (difference > 0).sum() > (difference < 0).sum():  # fewer sources than sinks; a distance is the same both ways
        difference = -difference
    problem = _Transport.of(difference.ravel(), places)
    if problem is None:
        return Bounded(0.0, 0.0, 0.0)
    if len(problem.supply) * len(problem.demand) <= ROWS**2:
        return _exact(problem)
    return _refined(problem, difference, places, tolerance)


@dataclass(frozen=True)
class _Transport:
    """Mass to be moved from n sources to m sinks.

    Attributes:
        source_cells: number of each source's cell, (n,); ``sink_cells``, (m,).
        supply: mass of the sources, (n,); ``demand`` of the sinks, (m,), the same in total.
        sources: their places, (n, 3); ``sinks``, (m, 3).
    """

    source_cells: Integers
    sink_cells: Integers
    supply: Array
    demand: Array
    sources: Array
    sinks: Array

    @classmethod
    def of(cls, difference: Array, places: Array) -> "_Transport | None":
        """What a difference of two maps, (cells,), asks for; ``None`` if nothing."""
        much, little = np.flatnonzero(difference > SMALLEST), np.flatnonzero(difference < -SMALLEST)
        if not len(much) or not len(little):
            return None
        supply, demand = difference[much], -difference[little]
        return cls(much, little, supply, demand * (supply.sum() / demand.sum()), places[much], places[little])


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Array, Array]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 3 or one.shape != other.shape:
        raise ValueError(f"maps must have the same shape (T, H, W), these are {one.shape} and {other.shape}")
    for values in (one, other):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("a map must not hold negative, infinite or undefined values")
    return one, other


def _share(values: Array) -> Array:
    scaled = values / values.max()
    return scaled / scaled.sum()


def _frame(one: Array, other: Array, places: Array) -> float:
    if not one.any() or not other.any():
        return np.nan
    problem = _Transport.of((_share(one) - _share(other)).ravel(), places)
    return 0.0 if problem is None else _exact(problem).value


def _exact(problem: _Transport) -> Bounded:
    _, log = _simplex(problem, cdist(problem.sources, problem.sinks))
    cost = float(log["cost"])
    return Bounded(cost, cost, cost)


def _simplex(problem: _Transport, distances: Array | sparse.coo_array) -> tuple[sparse.coo_array, dict]:
    """Optimal plan along the given routes, and POT's log with the dual values ``u`` of the sources."""
    plan, log = ot.emd(problem.supply, problem.demand, distances, numItermax=ITERATIONS, log=True, center_dual=False)
    if log["warning"] is not None:
        raise UnconvergedError(f"earth mover's distance: {log['warning']}")
    return sparse.coo_array(plan), log


def _refined(problem: _Transport, difference: Array, places: Array, tolerance: float) -> Bounded:
    routes, dual = _coarse(problem, difference, places)
    low, more = _survey(problem, dual)
    for _ in range(ROUNDS):
        routes = np.union1d(routes, more)
        source, sink = np.divmod(routes, len(problem.sinks))
        lengths = np.sqrt(((problem.sources[source] - problem.sinks[sink]) ** 2).sum(axis=1))
        table = sparse.coo_array((lengths, (source, sink)), shape=(len(problem.sources), len(problem.sinks)))
        _, log = _simplex(problem, table)
        proven, more = _survey(problem, log["u"])
        low, cost = max(low, proven), float(log["cost"])
        found = Bounded(cost, min(low, cost), cost)
        if found.error <= max(tolerance, EXACT):
            return found
    raise UnconvergedError(f"earth mover's distance: relative error {found.error:.4f} after {ROUNDS} rounds")


def _coarse(problem: _Transport, difference: Array, places: Array) -> tuple[Integers, Array]:
    """Routes that surely suffice, and first dual values of the sources, from the solution on blocks of cells.

    A route is the number ``source * sinks + sink``.
    """
    shape = difference.shape
    counts = [-(-length // step) for length, step in zip(shape, BLOCK, strict=True)]
    block = np.ravel_multi_index(tuple(np.indices(shape).reshape(3, -1) // np.array(BLOCK)[:, None]), counts)
    members = np.bincount(block)
    centres = np.stack([np.bincount(block, axis) / members for axis in places.T], axis=1)
    coarse = _Transport.of(np.bincount(block, difference.ravel()).astype(np.float64), centres)
    links = sparse.eye_array(len(members), format="csr")  # what a block can balance within itself stays there
    dual = np.zeros(len(problem.sources))
    if coarse is not None:
        plan, log = _simplex(coarse, cdist(coarse.sources, coarse.sinks))
        ends = coarse.source_cells[plan.row], coarse.sink_cells[plan.col]
        links = links + sparse.coo_array((np.ones(plan.nnz), ends), shape=links.shape).tocsr()
        for start in range(0, len(dual), ROWS):
            away = cdist(problem.sources[start : start + ROWS], coarse.sources)
            dual[start : start + ROWS] = (log["u"] - away).max(axis=1)
    sides = [_membership(block[cells], len(members)) for cells in (problem.source_cells, problem.sink_cells)]
    routes = (sides[0] @ links @ sides[1].T).tocoo()
    return routes.row.astype(np.int64) * len(problem.sinks) + routes.col, dual


def _membership(block: Integers, blocks: int) -> sparse.csr_array:
    """Which block each cell belongs to, as a matrix of ones, (cells, blocks)."""
    return sparse.csr_array((np.ones(len(block)), (np.arange(len(block)), block)), shape=(len(block), blocks))


def _survey(problem: _Transport, dual: Array) -> tuple[float, Integers]:
    """All routes at once: the lower bound that the sources' dual values prove, and each sink's most promising routes.

    The greatest dual values of the sinks that go with them are ``min over sources s of (distance(s, t) - dual(s))``;
    the routes are those with the least such differences.
    """
    keep = min(NEAR, len(dual))
    low, routes = float(dual @ problem.supply), []
    for start in range(0, len(problem.sinks), ROWS):
        sinks = slice(start, start + ROWS)
        slack = cdist(problem.sinks[sinks], problem.sources) - dual
        low += float(slack.min(axis=1) @ problem.demand[sinks])
        near = np.argpartition(slack, keep - 1, axis=1)[:, :keep].astype(np.int64)
        routes.append(near * len(problem.sinks) + np.arange(start, start + len(near))[:, None])
    return low, np.concatenate(routes).ravel()
