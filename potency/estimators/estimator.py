"""Classical learners on tables of numbers: what they see, how they are fitted, and how they are kept without pickle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potency.errors import BundleError, ManifestError, PlanError, nearest
from potency.estimators.archive import pack, unpack
from potency.estimators.sound import forget

if TYPE_CHECKING:
    import pandas as pd

Table = Any  # a pandas DataFrame, or an array (N, F)
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Learned:
    """What a pipeline may be cut to: seed, encoded target (N,), and the groups (N,) that an inner split keeps whole."""

    seed: int
    target: NDArray[Any]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True)
class Estimator:
    """A classical learner by name: the feature families it sees and its pipeline for each thing it can estimate.

    `steps` maps what a task estimates ("label": one of classes, "value": a number) to a function of `Learned` that
    gives the steps of a scikit-learn pipeline, the last one named "model".
    """

    name: str
    title: str
    families: tuple[str, ...]
    steps: Mapping[str, Callable[[Learned], list[tuple[str, Any]]]]

    def features(
        self, images: Sequence[NDArray[Any]], channels: Sequence[str] = (), pixel_size: float | None = None
    ) -> pd.DataFrame:
        """What this learner sees of crops (C, H, W): one row a crop, one column a feature of its families."""
        from potency.measurement import features

        return features(images, self.families, channels, pixel_size)

    def fit(
        self,
        features: Table,
        target: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        estimates: str = "label",
        classes: Sequence[str] = (),
        groups: ArrayLike | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> Fitted:
        """Fit on training rows only; `features` is a table (N, F), measured or an embedding (a linear probe).

        target: (N,) class names for "label" (their order is that of `classes`, sorted if none are given), numbers for
        "value". weights: (N,) how much each row counts. groups: (N,) what an inner split, where the learner needs one,
        keeps whole. The same seed gives the same model for any number of `workers`.

        Raises ManifestError where there is nothing to tell apart, PlanError for features that are not finite numbers,
        and for weights where the learner can take none.

        >>> from potency.estimators import ESTIMATORS
        >>> fitted = ESTIMATORS["logistic"].fit(np.arange(8.0)[:, None], list("aaaabbbb"))
        >>> fitted.predict([[0.0], [7.0]])["probability"].argmax(1).tolist()
        [0, 1]
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.pipeline import Pipeline
        from sklearn.utils.validation import has_fit_parameter

        self.refuse(estimates)
        columns, values = _table(features)
        wanted = np.asarray(target)
        if wanted.shape != (len(values),):
            raise PlanError(f"{len(values)} rows of features, but targets of shape {wanted.shape}", "fit", "one a row")
        names, codes = TARGETS[estimates](wanted, tuple(map(str, classes)))
        learned = Learned(seed, codes, None if groups is None else np.asarray(groups).astype(str))
        model = Pipeline(self.steps[estimates](learned))
        if weights is not None and not has_fit_parameter(model[-1], "sample_weight"):
            raise PlanError(f"{self.title} takes no weights", f"estimator {self.name!r}",
                            "choose another, such as logistic, or leave the weights out")  # fmt: skip
        threaded = {"n_estimators", "n_jobs"} <= set(model[-1].get_params())  # a forest: its trees grow side by side
        if threaded:
            model.set_params(model__n_jobs=workers)
        options = {} if weights is None else {"model__sample_weight": np.asarray(weights, np.float64)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so many passes and no more is part of the recipe
            model.fit(values, codes, **options)
        if threaded:
            model.set_params(model__n_jobs=None)  # threads add probabilities up in any order: predict with one
        forget(model)
        return Fitted(self.name, estimates, names, columns, model)


    def refuse(self, estimates: str) -> None:
        """PlanError where this learner has no pipeline for what is to be estimated."""
        if estimates not in self.steps:
            raise PlanError(
                f"{self.title}: there is none that estimates {estimates!r}",
                f"estimator {self.name!r}",
                nearest(estimates, self.steps),
            )


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: call `predict` on the columns it was fitted on, `dumps` and `loads` to keep it."""

    name: str
    estimates: str
    classes: tuple[str, ...]  # order of the probability columns; empty for "value"
    columns: tuple[str, ...]  # features in the order they were fitted
    model: Any
    sklearn: str = ""  # the version that wrote the file; empty for one fitted here
    data: bytes = field(default=b"", repr=False)  # the file it was read from, so that it stays what it was

    def predict(self, features: Table) -> Mapping[str, Values]:
        """{"probability": (N, K)} in the order of `classes`, or {"value": (N,)}.

        A table's columns are taken by name, whatever their order; an array must have as many columns as were fitted.
        """
        columns, values = _table(features, self.columns)
        if len(columns) != len(self.columns):
            raise PlanError(
                f"{len(columns)} features were given, {len(self.columns)} fitted", f"estimator {self.name!r}"
            )
        return ANSWERS[self.estimates](self, values)

    def dumps(self) -> bytes:
        """The fitted estimator as bytes: a skops archive (arrays and JSON, no pickle) with a card of ours inside."""
        import sklearn

        if self.data:
            return self.data
        card = {
            "name": self.name, "estimates": self.estimates, "classes": self.classes, "columns": self.columns,
            "sklearn": self.sklearn or sklearn.__version__,
        }  # fmt: skip
        return pack(self.model, card)

    @classmethod
    def loads(cls, data: bytes, where: str = "estimator") -> Fitted:
        """Read what `dumps` wrote; BundleError for a damaged or hostile file, of which nothing is built.

        A file written by another version of scikit-learn is read if it can be, with a warning that says so.
        """
        card, model = unpack(data, where)
        if card["estimates"] not in ANSWERS:
            raise BundleError(f"the saved estimator estimates {card['estimates']!r}", where, "use a newer potency")
        classes, columns = (tuple(map(str, card[key])) for key in ("classes", "columns"))
        return cls(card["name"], card["estimates"], classes, columns, model, card["sklearn"], data)


def _table(features: Table, order: tuple[str, ...] = ()) -> tuple[tuple[str, ...], Values]:
    """Names and finite float64 values of a table or array; a table is brought into `order` by name."""
    if hasattr(features, "columns"):
        known = {str(name): name for name in features.columns}
        missing = [name for name in order if name not in known]
        if missing:
            raise PlanError(
                f"{len(missing)} features the estimator was fitted on are missing, the first is {missing[0]!r}",
                "features",
                nearest(missing[0], known),
            )
        features = features[[known[name] for name in order] if order else list(features.columns)]
        names = order or tuple(known)
    else:
        names = ()
    values = np.asarray(features, np.float64)
    if values.ndim != 2:
        raise PlanError(f"features are a table (rows, columns), not of shape {values.shape}", "features")
    names = names or tuple(f"e{k}" for k in range(values.shape[1]))
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        row, column = bad[0]
        raise PlanError(
            f"{len(bad)} features are not finite numbers", f"row {row}, column {names[column]!r}", "leave such rows out"
        )
    return names, values


def _labels(target: NDArray[Any], classes: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    text = [str(label) for label in target]
    classes = classes or tuple(sorted(set(text)))
    code = {name: k for k, name in enumerate(classes)}
    unknown = sorted(set(text) - set(code))
    if unknown:
        raise ManifestError(f"label {unknown[0]!r} is no class of the plan", "truth", nearest(unknown[0], classes))
    if len(set(text)) < 2:
        raise ManifestError(
            f"only one class to learn from: {text[0]!r}" if text else "no rows to learn from", "training rows",
            "give it images of at least two classes",
        )  # fmt: skip
    return classes, np.array([code[label] for label in text], np.int64)


def _numbers(target: NDArray[Any], classes: tuple[str, ...]) -> tuple[tuple[str, ...], Values]:
    values = target.astype(np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ManifestError("a number to learn is missing or infinite", "truth", "leave such rows out")
    return (), values


def _probability(fitted: Fitted, values: Values) -> Mapping[str, Values]:
    # A class that no training row had is no column of the model: its probability is zero, its place is kept.
    probability = np.zeros((len(values), len(fitted.classes)))
    if len(values):
        probability[:, fitted.model.classes_] = fitted.model.predict_proba(values)
    return {"probability": probability}


def _value(fitted: Fitted, values: Values) -> Mapping[str, Values]:
    return {"value": np.asarray(fitted.model.predict(values), np.float64) if len(values) else np.zeros(0)}


TARGETS: Mapping[str, Callable[[NDArray[Any], tuple[str, ...]], tuple[tuple[str, ...], NDArray[Any]]]]
TARGETS = MappingProxyType({"label": _labels, "value": _numbers})
ANSWERS: Mapping[str, Callable[[Fitted, Values], Mapping[str, Values]]]
ANSWERS = MappingProxyType({"label": _probability, "value": _value})
