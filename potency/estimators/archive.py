"""A fitted pipeline as bytes without pickle: a skops archive of listed types, checked before anything is built."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from potency.errors import BundleError

CARD = "estimator.json"  # our member of the archive: what is inside, readable before anything is built
KEYS = {"name": str, "estimates": str, "classes": list, "columns": list, "sklearn": str}
LARGEST = 4 * 2**30  # bytes; an archive that unpacks to more is a trap, not a forest
CAUTION = "load only bundles from people you trust, or train again"

# Everything a saved pipeline of ours is made of: (module, class) as skops writes them. Nothing else is ever built.
TRUSTED = frozenset({
    ("builtins", "dict"), ("builtins", "list"), ("builtins", "str"), ("builtins", "tuple"),
    ("numpy", "float64"), ("numpy", "int64"), ("numpy", "ndarray"),
    ("sklearn.ensemble._forest", "RandomForestClassifier"), ("sklearn.ensemble._forest", "RandomForestRegressor"),
    ("sklearn.linear_model._logistic", "LogisticRegression"), ("sklearn.linear_model._ridge", "RidgeCV"),
    ("sklearn.pipeline", "Pipeline"), ("sklearn.preprocessing._data", "StandardScaler"),
    ("sklearn.tree._classes", "DecisionTreeClassifier"), ("sklearn.tree._classes", "DecisionTreeRegressor"),
    ("sklearn.tree._tree", "Tree"),
})  # fmt: skip
TREE = "sklearn.tree._tree.Tree"  # the one type above that skops asks us to answer for; `_refuse_wild_trees` does


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
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as old, zipfile.ZipFile(buffer, "w") as new:
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
            model = skops.io.loads(data, trusted=[TREE])
        _refuse_wild_trees(model, len(card["columns"]))
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
        if (module, name) not in TRUSTED:
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


def _refuse_wild_trees(model: Any, features: int) -> None:
    """Trees are walked by compiled code that trusts its indices: each must point forward, inside, to a real feature."""
    if model.n_features_in_ != features:
        raise ValueError(f"the model has {model.n_features_in_} features, its card {features}")
    for member in getattr(model[-1], "estimators_", ()):
        tree = member.tree_
        nodes = np.arange(tree.node_count)
        inner = tree.children_left != -1
        for children in (tree.children_left, tree.children_right):
            ahead = (children > nodes) & (children < tree.node_count)
            if len(children) != len(nodes) or not np.array_equal(children != -1, inner) or not ahead[inner].all():
                raise ValueError("a tree's branches lead nowhere")
        if tree.n_features != features or not ((tree.feature[inner] >= 0) & (tree.feature[inner] < features)).all():
            raise ValueError("a tree asks for a feature that is not there")
