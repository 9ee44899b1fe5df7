"""Bundles: come back the same, refuse what is damaged, hostile or newer, execute nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_bundle import bundle_of

from potency.answers import Category
from potency.bundle import Bundle, Card
from potency.bundle.learned import DIGITS, described, learned_from
from potency.data.manifest import Manifest
from potency.errors import BundleError

RNG = np.random.default_rng(3)
EXAMPLES = [{"image": RNG.integers(0, 255, (1, 12 + i, 20), dtype=np.uint8)} for i in range(3)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    replace(bundle_of(), examples=EXAMPLES).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_comes_back_the_same(saved: Path) -> None:
    bundle = Bundle.load(saved)
    again = replace(bundle_of(), examples=EXAMPLES)
    assert bundle.fingerprint == again.fingerprint
    for one, two in zip(bundle(EXAMPLES), again(EXAMPLES), strict=True):
        assert isinstance(one, Category) and isinstance(two, Category)
        np.testing.assert_allclose(one.probability, two.probability, rtol=1e-6)  # type: ignore[arg-type]
    files = {"card.json", "MODEL_CARD.md", "weights.safetensors", "examples.safetensors"}
    assert {path.name for path in saved.iterdir()} == files
    assert all(p.requires_grad for p in bundle.members[0].nets.parameters())  # type: ignore[attr-defined]


def test_an_ensemble_averages_members_that_cut_their_own_crops(tmp_path: Path) -> None:
    small, large = bundle_of(tile=16).members[0], bundle_of(tile=32).members[0]
    bundle = Bundle(Card("classify", (small.plan, large.plan)), (small, large), EXAMPLES).save(tmp_path / "two")
    loaded = Bundle.load(tmp_path / "two")
    alone = [Bundle(Card("classify", (m.plan,)), (m,))(EXAMPLES) for m in (small, large)]
    for joined, one, two in zip(loaded(EXAMPLES), *alone, strict=True):
        expected = (one.probability + two.probability) / 2  # type: ignore[attr-defined]
        np.testing.assert_allclose(joined.probability, expected, rtol=1e-4)  # type: ignore[attr-defined]
    assert bundle.fingerprint == loaded.fingerprint


def test_trust_is_applied_after_decoding(saved: Path) -> None:
    bundle = Bundle.load(saved)
    plain, cooled = bundle(EXAMPLES)[0], bundle.but(trust={"temperature": 100.0})(EXAMPLES)[0]
    assert isinstance(plain, Category) and isinstance(cooled, Category)
    assert plain.label == cooled.label
    np.testing.assert_allclose(cooled.probability, 0.5, atol=0.1)  # type: ignore[arg-type]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="holds something else"):
        bundle_of().save(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(tmp_path / "nowhere")


def test_a_kill_while_a_bundle_is_replaced_never_leaves_half_of_one(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it strikes, the folder holds the old bundle, the new one, or nothing: never some files of one."""
    whole = {path.name for path in saved.iterdir()}
    new = bundle_of(tile=24)
    for at in range(1, 6):
        calls = iter(range(1, 9))

        def killed(real: Any, calls: Any = calls, at: int = at) -> Any:
            def call(*words: Any, **more: Any) -> Any:
                if next(calls) == at:
                    raise KeyboardInterrupt
                return real(*words, **more)

            return call

        monkeypatch.setattr(Path, "replace", killed(Path.replace))
        monkeypatch.setattr("shutil.rmtree", killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            new.save(saved)
        monkeypatch.undo()
        assert not saved.exists() or {path.name for path in saved.iterdir()} == whole
        assert Bundle.load(new.save(saved).folder or saved).fingerprint == new.fingerprint


def test_a_card_knows_the_images_that_were_learned_from_again(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for k, path in enumerate(paths):
        path.write_bytes(bytes([k]))
    rows = Manifest.of_rows(pd.DataFrame({"image": [str(path) for path in paths], "group": ["a", "b"]}))
    told = described(rows, {"corrections": {"learned": ["f" * 64]}})
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert learned_from(told) == {"f" * DIGITS, *(digest[:DIGITS] for digest in digests)}
    assert learned_from({"members": [told, {"seen": "aa"}]}) == {"aa", *learned_from(told)} and not learned_from({})


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="cannot be written"):
        bundle_of().save(tmp_path / "bundle")
