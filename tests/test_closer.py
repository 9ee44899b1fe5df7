"""Images of small objects are outlined at twice their size: whatever the tiles, on their own pixels, chosen by rows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from slides_world import SIZE, TILE, bundle_of, discs, told

from potency.answers import Labels, files
from potency.answers.seams import numbered_by_place
from potency.bundle import Bundle, Card, pieces
from potency.decoding import DECODERS
from potency.errors import PlanError
from potency.inference import view
from potency.inference.predict import predict
from potency.learning import knowing
from potency.learning.settling import with_closer, with_thresholds
from potency.tasks import find_task


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles, where the image of discs is small."""
    monkeypatch.setattr(files, "LARGE", 10_000)
    monkeypatch.setattr(view, "READ", TILE)
    monkeypatch.setattr(view, "MOST", 0)


def test_small_objects_are_seen_at_twice_their_size_whatever_the_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, answers = discs(tmp_path / "in"), []
    for side, piece, closer in ((TILE, 128, 12), (200, 96, 12), (4096, 64, 12), (4096, 1280, 12), (TILE, 128, 4)):
        monkeypatch.setattr(view, "READ", side)
        monkeypatch.setattr(pieces, "SIDE", piece)
        bundle, into = bundle_of(), tmp_path / f"{side}-{piece}-{closer}"
        answers.append(told(predict(rows, nearer(bundle, closer), into=into), into))
    (pixels, table, _), (_, plain, _) = answers[0], answers[-1]
    for other, more, _ in answers[1:-1]:
        other, more = numbered_by_place(other, more)
        np.testing.assert_array_equal(pixels, other)
        pd.testing.assert_frame_equal(table, more[table.columns], check_dtype=False)
    assert pixels.shape == SIZE, "labels lie on the pixels of the image"
    assert table["area"].median() > 1.2 * plain["area"].median(), "the edges that are cut off are thinner"
    monkeypatch.setattr(view, "READ", TILE)
    same = told(predict(rows, bundle_of(), into=tmp_path / "plain"), tmp_path / "plain")[1]
    pd.testing.assert_frame_equal(plain, same)  # a median disc is wider than 4 px: nothing changes


def test_tiles_of_images_that_are_seen_larger_read_half_the_halo_and_cover_exactly() -> None:
    plan = bundle_of().card.plans[0].but(halo=96)
    for times, halo in ((1, 96), (2, 64)):  # 48, and what enlarging looks at, up to where maps have values
        tiles, owned = view.windows((1000, 700), plan, times), np.zeros((1000, 700), int)
        assert {(tile.halo, tile.times) for tile in tiles} == {(halo, times)} and len(tiles) > 1
        for tile in tiles:
            owned[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
            assert tile.y % 32 == tile.x % 32 == 0
        assert (owned == 1).all()


def test_a_bundle_called_in_python_looks_as_closely_as_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "READ", 4096)
    monkeypatch.setattr(files, "LARGE", 10**9)
    rows, bundle = discs(tmp_path / "in"), nearer(bundle_of(), 12)
    image = rows.open(next(iter(rows.records()))).crop()
    (answer,), (plain,) = bundle([{"image": image}]), bundle([{"image": image, "closer": np.asarray(False)}])
    assert isinstance(answer, Labels) and isinstance(plain, Labels)
    pixels = told(predict(rows, bundle, into=tmp_path / "out"), tmp_path / "out")[0]
    np.testing.assert_array_equal(answer.instances, pixels)
    assert (answer.instances > 0).sum() > (plain.instances > 0).sum()


def nearer(bundle: Bundle, closer: float) -> Bundle:
    (member,) = bundle.members
    plan = member.plan.but(closer=closer)
    return Bundle(Card(bundle.card.task, (plan,)), (member.under(plan),))


def test_validation_rows_choose_whether_small_objects_are_seen_larger(tmp_path: Path) -> None:
    rows, into = discs(tmp_path / "in"), tmp_path / "out"
    (member,) = bundle_of().members
    for closer in (0, 12):  # the truth is what it says of images as they come, or of larger ones
        told = predict(rows, nearer(bundle_of(), closer), into=into / str(closer))
        truth = told.add({"truth": told.table["prediction"]}, {"truth": "labels"})
        assert (with_closer(member, truth).plan.closer > 0) == (closer > 0)


def test_thresholds_are_chosen_for_images_as_they_are_seen(tmp_path: Path) -> None:
    rows, wanted = discs(tmp_path / "in"), nearer(bundle_of(), 12)
    (member,) = wanted.members
    told = predict(rows, wanted, into=tmp_path / "out")
    truth = told.add({"truth": told.table["prediction"]}, {"truth": "labels"})
    assert with_thresholds(member, truth).plan == member.plan, "the truth is what it says of larger images as it is"
    plain = member.under(member.plan.but(closer=0))
    assert with_thresholds(plain, truth).plan != plain.plan


def test_what_cannot_be_seen_larger_is_refused_before_anything_is_learned() -> None:
    truth = [Labels.of(np.eye(40, dtype=np.uint8))]
    plan = nearer(bundle_of(), 12).card.plans[0].but(halo=None, network="cellvit")
    with pytest.raises(PlanError, match="closer"):
        find_task("instances").prepare(plan, truth)
    assert find_task("instances").prepare(plan.but(network="unet:width=4:depth=1"), truth).closer == 12


@pytest.mark.parametrize("name", DECODERS)
def test_maps_of_an_image_at_twice_its_size_tell_its_own_outlines(name: str) -> None:
    task, decoder = find_task("instances"), DECODERS[name]
    truth = np.zeros((96, 96), np.uint16)
    for k, (y, x) in enumerate(np.ndindex(4, 4)):
        cv2.circle(truth, (24 * x + 12, 24 * y + 12), 6 + k % 4, k + 1, -1)
    plan = bundle_of().card.plans[0].but(decoder=name, classes=("x", "y"))
    perfect = np.concatenate([decoder.encode(truth.repeat(2, 0).repeat(2, 1)), np.ones((2, 192, 192), np.float32)])
    found = task.lessened({"output": pieces.shrunk(perfect[None], 2)}, plan, 2)["output"][0]
    np.testing.assert_array_equal(found[-2:], 1)  # maps of the classes stay
    labels = decoder.decode(found[:-2]).labels
    for k in range(1, 17):
        inside = truth == k
        most = np.bincount(labels[inside]).argmax()
        assert most and (inside & (labels == most)).sum() / (inside | (labels == most)).sum() > 0.8


def test_networks_of_maps_are_not_asked_for_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "_seen", lambda *_: pytest.fail("64 whole images at once, for nothing"))
    bundle, rows = bundle_of(), discs(tmp_path / "in")
    assert knowing.acquainted(bundle, rows, [""]) is bundle
