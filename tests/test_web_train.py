"""The journey "train" without a browser: labels from folders, tables and hands; checked, learned, kept, used."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from potency.data.named import Told, matched, named_rows
from potency.errors import ManifestError
from potency.web.curves import curves
from potency.web.worker import Worker


def cell(bright: bool, seed: int, side: int = 16) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(20, 60, (side, side))
    pixels[4:12, 4:12] += 120 if bright else 30
    written = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(written, format="PNG")
    return written.getvalue()


def cells(count: int = 2, donors: int = 2) -> dict[str, bytes]:
    """Two classes, each by all donors, so many images of each."""
    return {f"up/{kind}/donor{donor}_{k}.png": cell(kind == "bright", 100 * donor + 10 * k + (kind == "dim"))
            for kind in ("bright", "dim") for donor in range(1, donors + 1) for k in range(count)}  # fmt: skip


def sent(client: TestClient, files: dict[str, bytes], **words: str) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/train.json", files=[("files", file) for file in files.items()],
                                        data=words).json()  # fmt: skip
    return found


def done(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    assert Worker(client.app.state.store).turn()  # type: ignore[attr-defined]
    found: dict[str, Any] = client.get(f"/jobs/{job['id']}.json").json()["job"]
    return found


def page(client: TestClient, path: str) -> str:
    answered = client.get(path, headers={"accept": "text/html"})
    client.cookies.clear()  # a browser's session; what follows is a script again
    assert answered.status_code == 200, answered.text
    return answered.text


def test_a_folder_is_checked_learned_from_kept_and_used(client: TestClient) -> None:
    checked = done(client, sent(client, cells(2, donors=6)))
    found = checked["result"]
    assert found["fault"] is None and not found["faults"], found
    counted = [(one["name"], one["images"], one["groups"]) for one in found["classes"]]
    assert counted == [("bright", 12, 6), ("dim", 12, 6)]
    assert "donor" in found["how"]["group"] and found["groups"] == 6
    quick, thorough = (found["efforts"][name] for name in ("quick", "thorough"))
    assert quick["time"] and thorough["steps"] > quick["steps"]
    assert "Go on: train" in page(client, f"/jobs/{checked['id']}")
    assert "A quick look" in page(client, f"/train/{checked['id']}/settings")
    asked = client.post(f"/train/{checked['id']}/start.json", data={"steps": "6", "folds": "2"}).json()
    trained = done(client, asked)
    assert trained["state"] == "done", trained["error"]
    figures = trained["result"]["figures"]
    assert any("[" in cell for row in figures["rows"] for cell in row), "figures stand with their intervals"
    report = client.get(f"/jobs/{trained['id']}/files/{trained['result']['report']}")
    assert report.headers["content-security-policy"].startswith("sandbox") and "donor1" in report.text
    assert str(client.app.state.store.folder) not in report.text, "no folder of this machine"  # type: ignore[attr-defined]
    assert trained["result"]["verdict"] in page(client, f"/jobs/{trained['id']}").replace("&#39;", "'")
    model = trained["result"]["model"]
    client.post(f"/train/{trained['id']}/title.json", data={"title": "Bright or dim <b>"})
    shown = client.get(f"/models/{model}.json").json()["model"]
    assert shown["title"] == "Bright or dim <b>" and shown["classes"] == ["bright", "dim"]
    assert "Bright or dim &lt;b&gt;" in page(client, "/models")
    assert client.get("/answer.json", params={"model": model}).json()["model"] == model
    answered = done(client, client.post("/answer.json", data={"model": model, "set": asked["arguments"]["set"]}).json())
    assert {row.get("answer") for row in answered["result"]["rows"]} <= {"bright", "dim"}, answered


def test_a_table_of_numbers_makes_a_regression_and_says_what_does_not_match(client: TestClient) -> None:
    files = {name.rpartition("/")[2].replace("_", f"_{name.split('/')[1]}_"): data for name, data in cells(3).items()}
    names = sorted(files)
    lines = [f"{name};{k + 0.5};{'ab'[k % 2]};x" for k, name in enumerate(names[:-1])]
    files["values.csv"] = "\n".join(["File name;Dose;Plate;Note", *lines, "lost.png;3.5;a;x"]).encode()
    checked = done(client, sent(client, files, truth="dose"))["result"]
    assert checked["kind"] == "number" and checked["numbers"]["low"] == 0.5
    (fault,) = checked["faults"]
    assert "1 of 12 images are missing" in fault["what"] and "lost.png" in fault["where"]
    (left,) = [one for one in checked["warnings"] if one["code"] == "not-in-table"]
    assert names[-1] in left["mend"] and len(left["files"]) == 1
    again = client.post(f"/train/{'0' * 16}/start.json", data={})
    assert again.status_code == 404
    strange = {"a.png": cell(True, 1), "t.csv": b"image,label\nx.png,a\ny.png,b\n"}
    nothing = done(client, sent(client, strange))["result"]
    assert "none of the 2 rows" in nothing["fault"]["what"] and "t.csv" in nothing["fault"]["where"]
    assert nothing["tables"][0]["columns"] == ["image", "label"]
    wrong = done(client, sent(client, files, truth="Doses"))["result"]["fault"]
    assert "no column 'Doses'" in wrong["what"] and "did you mean 'Dose'" in wrong["mend"]


CASES = {"one class": "one-class", "one group": "one-group", "broken": "unreadable"}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_learned_is_said_as_on_the_command_line(client: TestClient, case: str) -> None:
    files = {name: data for name, data in cells(2).items()
             if (case != "one class" or "bright" in name) and (case != "one group" or "donor1" in name)}  # fmt: skip
    if case == "broken":
        files["up/dim/donor2_9.png"] = b"\x89PNG\r\n\x1a\nnothing"
    group = "donor" if case != "one group" else "donor([0-9])"
    checked = done(client, sent(client, files, group=group))
    assert CASES[case] in [one["code"] for one in checked["result"]["faults"]], checked
    refused = client.post(f"/train/{checked['id']}/start.json", data={})
    assert refused.status_code == 400 and refused.json()["what"] == checked["result"]["faults"][0]["what"]


def test_labels_are_typed_by_hand_and_by_parts_of_names(client: TestClient) -> None:
    files = {name.replace("/", "_"): data for name, data in cells(2).items()}
    first = done(client, sent(client, files))
    assert "no labels to learn from" in first["result"]["fault"]["what"]
    set = first["arguments"]["set"]
    for label in ("bright", "dim"):
        told = client.post(f"/images/{set}/labels.json", data={"label": label, "within": f"_{label.upper()}_"}).json()
    assert told["counts"] == {"bright": 4, "dim": 4}
    one = told["files"][0]["id"]
    taken = client.post(f"/images/{set}/labels.json", data={"label": "", "chosen": [one]}).json()
    assert taken["counts"]["bright"] == 3
    assert client.post(f"/images/{set}/labels.json", data={"label": "x", "within": "nowhere"}).status_code == 400
    again = done(client, client.post("/train.json", data={"set": set, "labels": "typed"}).json())["result"]
    assert [one["images"] for one in again["classes"]] == [3, 4] and "bright" in page(client, f"/images/{set}/labels")


def test_a_training_taken_back_stops_keeps_what_it_has_and_goes_on(client: TestClient) -> None:
    checked = done(client, sent(client, cells(4)))
    job = client.post(f"/train/{checked['id']}/start.json", data={"steps": "3000", "folds": "2"}).json()
    folder = client.app.state.store.place("jobs", job["id"])  # type: ignore[attr-defined]

    def cancel() -> None:
        until = time.monotonic() + 60
        while not list(folder.glob("run/folds/network-0/log.jsonl")) and time.monotonic() < until:
            time.sleep(0.02)
        told = client.get(f"/jobs/{job['id']}.json").json()["live"]["charts"]
        assert told[0]["lines"][0]["step"] > 0
        client.post(f"/jobs/{job['id']}/cancel.json")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    stopped = done(client, job)
    canceller.join()
    assert stopped["state"] == "cancelled"
    assert "goes on from there" in page(client, f"/jobs/{job['id']}")
    assert client.post(f"/jobs/{job['id']}/again.json").json()["state"] == "queued"
    assert (folder / "run" / "folds" / "network-0" / "log.jsonl").is_file()


def test_curves_are_drawn_from_the_logs_of_a_run(tmp_path: Path) -> None:
    for name, count in (("network-0", 3), ("network-10", 1), ("forest-0", 2), ("all", 1)):
        (tmp_path / "folds" / name).mkdir(parents=True)
        rows = [{"step": 10 * (k + 1), "train_loss": 1.0 / (k + 1), "validation_f": 0.5 + k / 10} for k in range(count)]
        (tmp_path / "folds" / name / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loss, score = curves(tmp_path, "f", "F1", 40)
    assert [line["name"] for line in loss["lines"]] == ["fold 1", "all images", "fold 11"]
    xs = [float(point.partition(",")[0]) for point in score["lines"][0]["points"].split()]
    assert xs == sorted(xs) and xs[-1] - loss["left"] == pytest.approx((460 - 46 - 12) * 0.75, abs=0.2)
    assert "fold 1, step 30: 0.7" in score["told"]
    assert curves(tmp_path / "nowhere", "f", "F1", 40) == []


def test_no_cell_of_a_table_is_ever_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("y,x\n1,1\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_text(f"image,label,mask\na.png,{tmp_path}/secret.csv,{tmp_path}/secret.csv\n")
    files = {"a.png": "1.png", "t.csv": "t.csv"}
    told = Told(table=(tmp_path / "in" / "t.csv", "t.csv"))
    with pytest.raises(ManifestError, match="files of the truth are missing"):
        named_rows(files, tmp_path / "in", told)
    rows = f"a.png,x,{tmp_path}/secret.csv\n../../a.png,y,../secret.csv\n"
    (tmp_path / "in" / "t.csv").write_text(f"image,label,mask\n{rows}")
    made = named_rows(files | {"../../a.png": "2.png"}, tmp_path / "in", told)
    assert made.table["image"].tolist() == ["1.png", "2.png"] and made.kinds == {"truth": "category"}
    assert matched(["/etc/a.png", "x/a.png"], ["G1/a.png", "G2/a.png"]) == [None, None]


def test_images_are_found_in_a_column_of_any_name_as_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("clone,pic,kind\nK1,a.png,x\nK2,b.png,y\n")
    told = Told((tmp_path / "t.csv", "t.csv"), truth="kind")
    made = named_rows({"G/a.png": "1.png", "G/b.png": "2.png"}, tmp_path, told)
    assert made.table["image"].tolist() == ["1.png", "2.png"] and made.table["truth"].tolist() == ["x", "y"]
    (tmp_path / "t.csv").write_text("pic,kind\nnot_here.tif,x\nnor.tif,y\n")
    with pytest.raises(ManifestError, match="no column holds the image files"):
        named_rows({"a.png": "1.png"}, tmp_path, told)
