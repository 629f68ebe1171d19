"""Which variants a sweep tries, in which order: known from the start, or as the results come in.

The order depends on the job alone - its space and its seed - and on results, never on who computes them or when. So a
sweep that goes on after a break asks for the same variants, and is told the same results, as one that was not broken.
"""

import warnings
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.sweep.space import ORIGIN, Space, read_space

RANDOM_VARIANTS = 100
"""of a random search that is not told how many"""
ADAPTIVE_BATCHES = 5
"""of an adaptive one"""
_TRIES = 20
"""so often the sampler may repeat itself before chance takes over"""


class Search(Protocol):
    @property
    def most(self) -> int:
        """How many variants it tries, if nothing ends it early."""
        ...

    def ask(self) -> list[Variant]:
        """The next ones; empty: it is over."""
        ...

    def tell(self, scores: Sequence[Decimal | None]) -> None:
        """Of the variants asked for last, in their order; None: no value."""
        ...


def search_of(job: JobSpec) -> Search:
    """The job's, with nothing tried yet.

    Raises:
        SettingsError: everything that is wrong with what it searches.
        PluginError: a plugin of the job cannot be used.
        ArbitradeError: the method needs a package that is not installed.
    """
    space, spec = read_space(job), job.sweep
    assert spec is not None
    match spec.method:
        case "grid":
            return Listed(_grid(space, spec.variants))
        case "random":
            return Listed(_drawn(space, spec.variants or RANDOM_VARIANTS, chance(job, "variants")))
        case "adaptive":
            most = min(spec.variants or ADAPTIVE_BATCHES * spec.batch, space.size)
            return Adaptive(space, most, spec.batch, chance(job, "variants"))


def chance(job: JobSpec, what: str) -> Random:
    """All chance comes from the job's seed; each use has its own."""
    return Random(f"{job.seed}/{what}")  # noqa: S311 - a search, no secret


class Listed:
    """Variants that are all known."""

    def __init__(self, found: list[Variant]) -> None:
        self._left = found
        self.most = len(found)

    def ask(self) -> list[Variant]:
        found, self._left = self._left, []
        return found

    def tell(self, scores: Sequence[Decimal | None]) -> None:
        """They change nothing."""


def _grid(space: Space, variants: int | None) -> list[Variant]:
    if variants is not None and variants < space.size:
        raise SettingsError(
            [
                f"{ORIGIN}'s grid has {space.size} variants and {variants} are to be tried, which would leave a corner "
                f"of it out; give fewer values, or search with the method random"
            ]
        )
    return [Variant(number, space.at(number)) for number in range(space.size)]


def _drawn(space: Space, count: int, random: Random) -> list[Variant]:
    """Without repeats, each place of the grid as likely as any other."""
    size = space.size
    if count * 2 >= size:
        places = random.sample(range(size), min(count, size))
    else:
        found: dict[int, None] = {}
        while len(found) < count:
            found[random.randrange(size)] = None
        places = list(found)
    return [Variant(number, space.at(place)) for number, place in enumerate(places)]


class Adaptive:
    """Looks where results were good: a tree-structured Parzen estimator (J. Bergstra et al. (2011), "Algorithms for
    hyper-parameter optimization", NIPS 24), as optuna has it.

    Numbers are told to it as places in their ascending values, so that what it suggests is exact. A whole batch is
    suggested before any of its results is known, so how many processes there are changes nothing.
    """

    def __init__(self, space: Space, most: int, batch: int, random: Random) -> None:
        """Raises ArbitradeError when optuna is not installed."""
        self.most = most
        self._optuna = optuna = _optuna()
        self._batch = batch
        self._random = random
        self._values = {each.path: each.ascending for each in space.settings}
        self._space = space
        self._places = {
            each.path: optuna.distributions.IntDistribution(0, len(each.values) - 1)
            if each.numeric
            else optuna.distributions.CategoricalDistribution(tuple(range(len(each.values))))
            for each in space.settings
        }
        with warnings.catch_warnings():
            # Some releases call these two arguments experimental.
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=random.getrandbits(32), multivariate=True, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: list[Any] = []
        self._tried: set[tuple[str, ...]] = set()

    def ask(self) -> list[Variant]:
        count = min(self._batch, self.most - len(self._tried))
        return [self._next() for _ in range(count)]

    def _next(self) -> Variant:
        for _ in range(_TRIES):
            trial = self._study.ask(self._places)
            settings = self._settings(trial.params)
            if self._is_new(settings):
                return self._take(trial, settings)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        while True:
            settings = self._space.at(self._random.randrange(self._space.size))
            if self._is_new(settings):
                self._study.enqueue_trial({path: self._values[path].index(text) for path, text in settings.items()})
                return self._take(self._study.ask(self._places), settings)

    def _settings(self, places: dict[str, Any]) -> dict[str, str]:
        return {path: values[places[path]] for path, values in self._values.items()}

    def _is_new(self, settings: dict[str, str]) -> bool:
        return tuple(settings.values()) not in self._tried

    def _take(self, trial: Any, settings: dict[str, str]) -> Variant:
        variant = Variant(len(self._tried), settings)
        self._tried.add(tuple(settings.values()))
        self._asked.append(trial)
        return variant

    def tell(self, scores: Sequence[Decimal | None]) -> None:
        state = self._optuna.trial.TrialState
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None:
                self._study.tell(trial, state=state.PRUNED)  # ranks below everything that has a value
            else:
                self._study.tell(trial, float(score))
        self._asked.clear()


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ArbitradeError(
            "an adaptive search needs optuna, which is not installed: pip install 'arbitrade[search]', or search with "
            "the method grid or random"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
