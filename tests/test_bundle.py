"""Bundles: come back the same, refuse what is damaged, hostile or newer, execute nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bundle import bundle_of

from potency.answers import Category
from potency.bundle import Bundle, Card
from potency.errors import BundleError, ImageError, PotencyError

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
    assert {path.name for path in saved.iterdir()} == {"card.json", "weights.safetensors", "examples.safetensors"}
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


def test_other_channels_are_refused(saved: Path) -> None:
    with pytest.raises(ImageError, match="4 channels, the model takes 1"):
        Bundle.load(saved)([{"image": np.zeros((4, 16, 16), np.uint8)}])


def _card(change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def spoil(folder: Path) -> None:
        values = json.loads((folder / "card.json").read_text())
        change(values)
        (folder / "card.json").write_text(json.dumps(values))

    return spoil


def _pickled(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(f"\x80\x04cos\nmkdir\n(V{folder / 'hacked'}\ntR.".encode("latin1"))


def _weights(name: str, value: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        state = load_file(folder / "weights.safetensors")
        state[name] = torch.full_like(state[name], value)
        save_file(state, folder / "weights.safetensors")

    return spoil


def _reshaped(folder: Path) -> None:
    state = load_file(folder / "weights.safetensors")
    state["net.linear.weight"] = torch.zeros(7, 3)
    save_file(state, folder / "weights.safetensors")


def _truncated(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return spoil


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda folder: (folder / "card.json").unlink(), "no card"),
    "card is not JSON": (lambda folder: (folder / "card.json").write_text("{"), "card cannot be read"),
    "card is something else": (lambda folder: (folder / "card.json").write_text("[1]"), "not one of a bundle"),
    "card is deeply nested": (lambda folder: (folder / "card.json").write_text("[" * 200_000), "card cannot be read"),
    "newer schema": (_card(lambda card: card.update(schema=99, potency="9.0")), "written by potency 9.0"),
    "unknown task": (_card(lambda card: card.update(task="clasify")), "did you mean 'classify'"),
    "unknown learner": (_card(lambda card: card["members"][0]["plan"].update(learner="magic")), "learner 'magic'"),
    "plan with an unknown key": (_card(lambda card: card["members"][0]["plan"].update(nettwork=1)), "nettwork"),
    "plan of another network": (
        _card(lambda card: card["members"][0]["plan"].update(network="resnet18")),
        "do not fit",
    ),
    "no members": (_card(lambda card: card.update(members=[])), "names no member"),
    "missing weights": (lambda folder: (folder / "weights.safetensors").unlink(), "file of the bundle is missing"),
    "truncated weights": (_truncated("weights.safetensors"), "weights are damaged"),
    "pickle as weights": (_pickled, "never opened"),
    "weights of wrong shape": (_reshaped, "do not fit the plan"),
    "weights not finite": (_weights("net.linear.bias", float("nan")), "not-a-number"),
    "weights changed": (_weights("net.linear.bias", 50.0), "answers its own examples differently"),
    "truncated examples": (_truncated("examples.safetensors"), "examples of the bundle cannot be read"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_bundle_is_refused_and_nothing_runs(case: str, saved: Path) -> None:
    spoil, message = SPOILED[case]
    spoil(saved)
    with pytest.raises(PotencyError) as told:
        Bundle.load(saved)
    assert message in str(told.value)
    assert told.value.mend
    assert not (saved / "hacked").exists()


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="holds something else"):
        bundle_of().save(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(tmp_path / "nowhere")


def test_a_full_disk_leaves_the_old_bundle(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    before = Bundle.load(saved).fingerprint
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BundleError, match="No space left on device"):
        bundle_of().save(saved)
    monkeypatch.undo()
    assert Bundle.load(saved).fingerprint == before
    assert [p.name for p in saved.parent.iterdir()] == ["bundle"]


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


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="cannot be written"):
        bundle_of().save(tmp_path / "bundle")
