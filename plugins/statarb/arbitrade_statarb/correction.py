"""p-values of many tests, corrected for their number."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that taking those up to alpha keeps the expected share of false ones among them under alpha.

    Y. Benjamini and Y. Hochberg (1995), "Controlling the false discovery rate", Journal of the Royal Statistical
    Society B 57(1), 289-300. Holds for independent and for positively dependent tests.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda test: p_values[test], reverse=True)
    scaled = (p_values[test] * count / (count - rank) for rank, test in enumerate(order))
    return _back(order, accumulate(scaled, min))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that taking those up to alpha keeps the chance of any false one under alpha, however they depend.

    S. Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
    6(2), 65-70.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda test: p_values[test])
    scaled = (p_values[test] * (count - rank) for rank, test in enumerate(order))
    return _back(order, accumulate(scaled, max))


def _back(order: Sequence[int], adjusted: "accumulate[float]") -> list[float]:
    by_test = dict(zip(order, adjusted, strict=True))
    return [min(1.0, by_test[test]) for test in range(len(order))]


CORRECTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = MappingProxyType(
    {"benjamini-hochberg": benjamini_hochberg, "holm": holm}
)
