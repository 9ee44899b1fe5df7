"""Classical learners on tables of numbers: what they see, how they are fitted, and how they are kept without pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potency.errors import BundleError, ManifestError, PlanError, nearest
from potency.estimators.archive import pack, unpack

if TYPE_CHECKING:
    import pandas as pd

TREES = 300

Table = Any  # a pandas DataFrame, or an array (N, F)
Values = NDArray[np.float64]


def _forest(leaf: int, number: bool) -> Callable[[int], list[tuple[str, Any]]]:
    def steps(seed: int) -> list[tuple[str, Any]]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestRegressor if number else RandomForestClassifier
        return [("model", kind(TREES, min_samples_leaf=leaf, max_features="sqrt", random_state=seed))]

    return steps


def _logistic(seed: int) -> list[tuple[str, Any]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    return [("scale", StandardScaler()), ("model", LogisticRegression(C=0.03, max_iter=5000, random_state=seed))]


def _ridge(seed: int) -> list[tuple[str, Any]]:
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    return [("scale", StandardScaler()), ("model", RidgeCV(alphas=np.logspace(-1, 4, 11)))]


@dataclass(frozen=True)
class Estimator:
    """A classical learner by name: the feature families it sees and its pipeline for each thing it can estimate.

    `steps` maps what a task estimates ("label": one of classes, "value": a number) to a function of the seed that gives
    the steps of a scikit-learn pipeline, the last one named "model".
    """

    name: str
    title: str
    families: tuple[str, ...]
    steps: Mapping[str, Callable[[int], list[tuple[str, Any]]]]

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
        seed: int = 0,
        workers: int = 1,
    ) -> Fitted:
        """Fit on training rows only; `features` is a table (N, F), measured or an embedding (a linear probe).

        target: (N,) class names for "label" (their order is that of `classes`, sorted if none are given), numbers for
        "value". weights: (N,) how much each row counts. The same seed gives the same model for any number of `workers`.

        Raises ManifestError where there is nothing to tell apart, PlanError for features that are not finite numbers.

        >>> fitted = ESTIMATORS["logistic"].fit(np.arange(8.0)[:, None], list("aaaabbbb"))
        >>> fitted.predict([[0.0], [7.0]])["probability"].argmax(1).tolist()
        [0, 1]
        """
        from sklearn.pipeline import Pipeline

        if estimates not in self.steps:
            raise PlanError(
                f"{self.title} cannot estimate {estimates!r}",
                f"estimator {self.name!r}",
                nearest(estimates, self.steps),
            )
        columns, values = _table(features)
        wanted = np.asarray(target)
        if wanted.shape != (len(values),):
            raise PlanError(f"{len(values)} rows of features, but targets of shape {wanted.shape}", "fit", "one a row")
        names, codes = TARGETS[estimates](wanted, tuple(map(str, classes)))
        model = Pipeline(self.steps[estimates](seed))
        threaded = "n_estimators" in model[-1].get_params()  # a forest: its trees grow side by side
        if threaded:
            model.set_params(model__n_jobs=workers)
        options = {} if weights is None else {"model__sample_weight": np.asarray(weights, np.float64)}
        model.fit(values, codes, **options)
        if threaded:
            model.set_params(model__n_jobs=None)  # threads add probabilities up in any order: predict with one
        return Fitted(self.name, estimates, names, columns, model)


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

FULL = ("intensity", "texture", "shape")
ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({
    estimator.name: estimator
    for estimator in (
        Estimator("forest", "random forest on features", FULL, {"label": _forest(2, False), "value": _forest(2, True)}),
        Estimator("logistic", "linear model on features", FULL, {"label": _logistic, "value": _ridge}),
        Estimator(
            "trivial", "random forest on size, mean intensity and variance", ("trivial",),
            {"label": _forest(10, False), "value": _forest(10, True)},
        ),
    )
})  # fmt: skip
