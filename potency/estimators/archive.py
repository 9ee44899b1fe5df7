"""A fitted pipeline as bytes without pickle: a skops archive of listed types, checked before anything is built."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from potency.errors import BundleError
from potency.estimators.sound import refuse_unsound
from potency.estimators.trees import felled, raised

CARD = "estimator.json"  # our member of the archive: what is inside, readable before anything is built
KEYS = {"name": str, "estimates": str, "classes": list, "columns": list, "sklearn": str}
LARGEST = 4 * 2**30  # bytes; an archive that unpacks to more is a trap, not a forest
CAUTION = "load only bundles from people you trust, or train again"

# Everything a saved pipeline of ours is made of: module -> classes, as skops writes them. Nothing else is ever built.
TRUSTED = {
    "builtins": "dict list str tuple",
    "numpy": "float64 int32 int64 ndarray uint64",
    "sklearn._loss._loss": "CyHalfBinomialLoss CyHalfMultinomialLoss CyHalfSquaredError",
    "sklearn._loss.link": "IdentityLink Interval LogitLink MultinomialLogit",
    "sklearn._loss.loss": "HalfBinomialLoss HalfMultinomialLoss HalfSquaredError",
    "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
    "sklearn.compose._target": "TransformedTargetRegressor",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis",
    "sklearn.ensemble._forest": "RandomForestClassifier RandomForestRegressor",
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
        "HistGradientBoostingClassifier HistGradientBoostingRegressor"
    ),
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
    "sklearn.linear_model._logistic": "LogisticRegression",
    "sklearn.linear_model._ridge": "RidgeCV",
    "sklearn.naive_bayes": "GaussianNB",
    "sklearn.neighbors._classification": "KNeighborsClassifier",
    "sklearn.neighbors._regression": "KNeighborsRegressor",
    "sklearn.neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
    "sklearn.pipeline": "Pipeline",
    "sklearn.preprocessing._data": "StandardScaler",
    "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder",
    "sklearn.svm._classes": "SVC SVR",
    "sklearn.tree._classes": "DecisionTreeClassifier DecisionTreeRegressor",
    "sklearn.tree._tree": "Tree",
}
# The types above that skops asks us to answer for; `refuse_unsound` does.
ANSWERED = [
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def pack(model: Any, card: Mapping[str, Any]) -> bytes:
    """A fitted scikit-learn pipeline and its card as one archive of arrays and JSON; the same model, the same bytes.

    skops names things after their place in memory and the hour; here they are numbered as they come.
    """
    import skops.io

    numbers: dict[int, int] = {}
    names: dict[str, str] = {}

    def numbered(node: Any) -> Any:
        if isinstance(node, list):
            return [numbered(each) for each in node]
        if not isinstance(node, dict):
            return node
        made = {key: numbered(value) for key, value in node.items()}
        if "__id__" in node:
            made["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if "file" in node:
            made["file"] = names.setdefault(node["file"], f"{len(names) + 1}.{node['file'].rpartition('.')[2]}")
        return made

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(felled(model)))) as old, zipfile.ZipFile(buffer, "w") as new:
        schema = numbered(json.loads(old.read("schema.json")))
        members = {name: old.read(before) for before, name in names.items()}
        members |= {"schema.json": json.dumps(schema).encode(), CARD: json.dumps(card).encode()}
        for name, data in members.items():
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 3)
    return buffer.getvalue()


def unpack(data: bytes, where: str = "estimator") -> tuple[dict[str, Any], Any]:
    """The card and the pipeline that `pack` wrote; BundleError, and nothing built, for any other type in the file.

    A file written by another version of scikit-learn is read if it can be, with a warning that says so.
    """
    import skops.io

    card = _card(data, where)
    note = _version_note(card["sklearn"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's own words on versions; ours are below
            model = raised(skops.io.loads(data, trusted=ANSWERED))
        refuse_unsound(model, len(card["columns"]), len(card["classes"]))
    except Exception as error:  # whatever skops, numpy or scikit-learn makes of bytes that are not what they say
        what = f"the saved estimator cannot be read: {error}" + (f" ({note})" if note else "")
        raise BundleError(what, where, "install that version of scikit-learn, or train again") from error
    if note:
        warnings.warn(f"{where}: {note}; figures may differ in the last digits", UserWarning, stacklevel=2)
    return card, model


def _card(data: bytes, where: str) -> dict[str, Any]:
    """Our card of the archive, after every type in it has been seen to be one of ours; nothing is built."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise BundleError("the saved estimator unpacks to more than 4 GB", where, CAUTION)
            card, schema = (json.loads(archive.read(name)) for name in (CARD, "schema.json"))
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, RuntimeError) as error:
        raise BundleError(f"this is no saved estimator, or a damaged one: {error}", where, "copy it again") from error
    for module, name in _types(schema):
        if name not in TRUSTED.get(module, "").split():
            raise BundleError(f"the saved estimator holds a foreign type: {module}.{name}", where, CAUTION)
    faults = [k for k, kind in KEYS.items() if not isinstance(card, dict) or not isinstance(card.get(k), kind)]
    if faults:
        raise BundleError(f"the card of the saved estimator is wrong: {', '.join(faults)}", where, CAUTION)
    return dict(card)


def _types(schema: Any) -> Iterator[tuple[str, str]]:
    """(module, class) of every node of a skops schema; a loop, because a hostile schema may be nested very deeply."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if any(key in node for key in ("__class__", "__module__", "__loader__")):
                yield str(node.get("__module__")), str(node.get("__class__"))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _version_note(written: str) -> str:
    import sklearn

    if written.split(".")[:2] == sklearn.__version__.split(".")[:2]:
        return ""
    return f"the estimator was written by scikit-learn {written}, this is {sklearn.__version__}"
