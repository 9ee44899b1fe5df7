"""Reader studies without a browser: what a reader can never see, answers that count once, rounds, results, tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from reader_study import SECRETS, all_said, images, made, page, png, said, seated, turn, two

from potency.data.manifest import Manifest
from potency.evaluation.reading import joined
from potency.web.app import create
from potency.web.desk import Desk
from potency.web.people import People
from potency.web.settings import Limits, Settings
from potency.web.store import Store
from potency.web.worker import Worker


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("reading") / "web"
    app = create(Settings(folder=folder, limits=Limits(free=0, requests=1e6)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        client.store = app.state.store  # type: ignore[attr-defined]
        yield client


def test_a_reader_is_told_nothing(tool: TestClient) -> None:
    study = two(tool, group="names", twice=2)
    path = seated(tool, study["code"], "anna", years=3, field="x")
    store: Store = tool.store  # type: ignore[attr-defined]
    rows = store.rows("SELECT file FROM study_images WHERE study = ?", study["id"])
    hidden = [*SECRETS[2:], study["id"], str(study["facts"]["set"]), *(row["file"] for row in rows)]
    for asked in (path, f"/read/{study['code']}"):
        for text in (page(tool, asked).partition("<main")[2], tool.get(f"{asked}.json").text):
            assert not [word for word in hidden if word in text], asked
    told = turn(tool, path)
    assert told["model"] is None and told["of"] == 8
    shown = tool.get(f"{path}/picture/{told['showing']}")
    assert shown.status_code == 200 and "no-store" in shown.headers["cache-control"]
    assert not {"etag", "last-modified", "content-disposition"} & set(shown.headers)
    later = store.rows("SELECT code FROM showings WHERE reader = ? AND place > 1", path.rpartition("/")[2])
    assert tool.get(f"{path}/picture/{later[0]['code']}.json").status_code == 404, "only this image and the next"
    assert tool.get(f"{path}/map/{told['showing']}").status_code == 404
    other = seated(tool, study["code"], "ben")
    assert tool.get(f"{other}/picture/{told['showing']}").status_code == 404, "a code serves one reader"


def test_an_answer_counts_once_and_can_be_taken_back_once(tool: TestClient) -> None:
    path = seated(tool, two(tool)["code"], "anna")
    first = turn(tool, path)["showing"]
    assert said(tool, path, "dark", 1.0)["taken"]
    again = said(tool, path, "bright", 9.0, showing=first)
    assert not again["taken"] and again["turn"]["done"] == 1, "a second press, or another tab, changes nothing"
    assert tool.post(f"{path}/back.json").json()["taken"] and turn(tool, path)["showing"] == first
    assert not tool.post(f"{path}/back.json").json()["taken"], "one step"
    assert said(tool, path, "bright", 2.0)["taken"]
    store: Store = tool.store  # type: ignore[attr-defined]
    row = store.row("SELECT answer, seconds, changes FROM showings WHERE code = ?", first)
    assert row == {"answer": "bright", "seconds": 3.0, "changes": 1}
    ahead = turn(tool, path)["next"]
    assert not said(tool, path, "dark", showing=ahead)["taken"], "no image is answered before its turn"
    odd = tool.post(f"{path}/answer.json", data={"showing": turn(tool, path)["showing"], "answer": "violet"})
    assert odd.status_code == 400 and "violet" in odd.json()["what"]
    for seconds in ("nan", "-5", "1e99"):
        assert said(tool, path, "", seconds)["taken"]  # type: ignore[arg-type]
    spent = store.rows("SELECT seconds FROM showings WHERE reader = ? AND answer IS NULL AND time IS NOT NULL",
                       path.rpartition("/")[2])  # fmt: skip
    assert [row["seconds"] for row in spent] == [0.0, 0.0, 86400.0]
    assert seated(tool, path.split("/")[2], "anna", begun=False) == path, "the same name goes on"


def test_rounds_come_in_turn_and_each_in_its_order(tool: TestClient) -> None:
    study = two(tool, rounds=2, washout=28, twice=2)
    path = seated(tool, study["code"], "anna")
    assert tool.post(f"{path}/begin.json", data={"round": 2}).status_code == 400
    all_said(tool, path)
    waiting = turn(tool, path)
    assert "may be begun from" in page(tool, path)
    assert waiting["stage"] == "waiting" and waiting["round"] == 2 and waiting["opens"] > 0
    assert tool.post(f"{path}/begin.json", data={"round": 2}).status_code == 400
    store: Store = tool.store  # type: ignore[attr-defined]
    store.change("UPDATE showings SET time = time - 29 * 86400 WHERE reader = ? AND round = 1", path.rpartition("/")[2])
    assert turn(tool, path)["stage"] == "ready" and "Begin" in page(tool, path)
    tool.post(f"{path}/begin.json", data={"round": 2})
    assert turn(tool, path)["stage"] == "reading" and not turn(tool, path)["back"]
    rows = store.rows("SELECT round, image, again FROM showings WHERE reader = ? ORDER BY round, place",
                      path.rpartition("/")[2])  # fmt: skip
    orders = [[(row["image"], row["again"]) for row in rows if row["round"] == round] for round in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) and len(orders[0]) == 8 and len({r["image"] for r in rows}) == 6
    assert tool.post(f"/reading/{study['id']}/close.json").status_code == 200
    late = tool.post(f"{path}/answer.json", data={"showing": turn(tool, path)["showing"] or "0", "answer": "dark"})
    assert late.status_code == 400 and "closed" in late.json()["what"]


def test_the_model_speaks_in_its_round_only(tool: TestClient) -> None:
    study = two(tool, rounds=2)
    store: Store = tool.store  # type: ignore[attr-defined]
    told = {"answer": "bright", "probabilities": {"dark": 0.1, "bright": 0.9}, "unlike": True, "map": True}
    facts = study["facts"] | {"model": "m", "model_title": "a model", "maps": True}
    store.change("UPDATE studies SET facts = ? WHERE id = ?", json.dumps(facts), study["id"])
    store.change("UPDATE study_images SET told = ? WHERE study = ?", json.dumps(told), study["id"])
    maps = store.place("studies", study["id"]) / "maps"
    maps.mkdir()
    for number in range(6):
        (maps / f"{number}.png").write_bytes(png(number))
    path = seated(tool, study["code"], "anna")
    assert turn(tool, path)["model"] is None and "0.9" not in tool.get(f"{path}.json").text
    showing = turn(tool, path)["showing"]
    assert tool.get(f"{path}/map/{showing}").status_code == 404
    all_said(tool, path)
    assert turn(tool, path)["model"] is None, "not before the round is begun"
    tool.post(f"{path}/begin.json", data={"round": 2})
    model = turn(tool, path)["model"]
    assert model["answer"] == "bright" and model["probability"] == 0.9 and model["unlike"] and model["map"]
    assert tool.get(f"{path}/map/{turn(tool, path)['showing']}").status_code == 200
    assert tool.get(f"{path}/picture/{showing}").status_code == 404, "an image of the first round has another code now"
    said(tool, path, "bright")
    figures = tool.get(f"/reading/{study['id']}/results.json").json()["figures"]
    assert figures["changes"][0]["images"] == 1 and {one["round"] for one in figures["against"]} == {1, 2}
    assert [line["reader"] for line in figures["lines"]] == ["anna", "anna", "a model"]


def test_many_tabs_at_once_answer_once(tool: TestClient) -> None:
    study = two(tool)
    path = seated(tool, study["code"], "anna")
    store: Store = tool.store  # type: ignore[attr-defined]
    person = store.row("SELECT person FROM readers WHERE id = ?", path.rpartition("/")[2])
    showing = turn(tool, path)["showing"]

    def answered(word: str) -> bool:
        desk = Desk.of(store, study["code"], path.rpartition("/")[2], person["person"])  # type: ignore[index]
        return desk.answer(showing, word, None, 1.0)

    with ThreadPoolExecutor(8) as tabs:
        assert sum(tabs.map(answered, ["dark", "bright"] * 8)) == 1
    assert turn(tool, path)["done"] == 1


def test_results_and_the_tables_that_the_command_line_reads(tool: TestClient, tmp_path: Path) -> None:
    set = images(tool, 12)
    study = made(tool, set, classes="dark, bright", group="names", twice=3, confidence=True)
    for name, years in (("anna", 2), ("=ben", 12)):
        path = seated(tool, study["code"], name, years=years)
        while (told := turn(tool, path))["stage"] == "reading":
            said(tool, path, "dark" if told["done"] % 3 else "bright", confidence=4)
    shown = tool.get(f"/reading/{study['id']}/results.json").json()
    figures = shown["figures"]
    assert {line["reader"] for line in figures["lines"]} == {"anna", "=ben"} and figures["groups"] == 6
    assert all("recall.bright" in line["figures"] and line["twice"] == 3 for line in figures["lines"])
    assert figures["lines"][0]["confidence"] == 4 and figures["pairs"][0]["images"] == 12
    assert "Agreement of all readers" in page(tool, f"/reading/{study['id']}/results")
    assert "anna" in page(tool, f"/reading/{study['id']}") and "Which?" in page(tool, "/reading")
    table = list(csv.DictReader(io.StringIO(tool.get(f"/reading/{study['id']}/answers.csv").text)))
    assert len(table) == 30 and {row["reader"] for row in table} == {"anna", "'=ben"}, "no formula in a spreadsheet"
    assert {row["shown"] for row in table} == {"1", "2"} and table[0]["image"].startswith("my images/")
    readers = tool.get(f"/reading/{study['id']}.json").json()["readers"]
    given = tool.get(f"/reading/{study['id']}/answers/{readers[0]['id']}/1.csv")
    assert given.headers["content-disposition"] == 'attachment; filename="anna.csv"'
    for file in tool.get(f"/images/{set}.json").json()["files"]:
        place = tmp_path / file["name"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(0))
    (tmp_path / "anna.csv").write_text(given.text)
    rows = joined(Manifest.read(tmp_path / "my images"), [tmp_path / "anna.csv"])
    assert len(rows) == 12, "`potency reader --answers` finds the rows of the same folder"
    by_name = {row["id"]: row["answer"] for row in table if row["reader"] == "anna" and row["shown"] == "1"}
    assert dict(zip(rows.table["id"], rows.table["prediction@anna"], strict=True)) == by_name


def test_a_closed_study_has_a_report_and_tells_readers_how_they_did(tool: TestClient) -> None:
    study = two(tool)
    path = seated(tool, study["code"], "anna")
    all_said(tool, path)
    assert tool.get(f"{path}.json").json()["own"] == [], "nothing before the study is closed"
    assert "all is answered" in page(tool, path)
    assert tool.post(f"/reading/{study['id']}/report.json").status_code == 400
    tool.post(f"/reading/{study['id']}/close.json")
    assert "How you did" in page(tool, path) and "closed" in page(tool, f"/read/{study['code']}")
    assert "Write the report" in page(tool, f"/reading/{study['id']}")
    (own,) = tool.get(f"{path}.json").json()["own"]
    assert own["lines"][0] == "6 answered, 0 you could not tell" and own["lines"][1].startswith("Accuracy .50")
    assert tool.post(f"/reading/{study['id']}/close.json").status_code == 400
    job = tool.post(f"/reading/{study['id']}/report.json").json()["id"]
    assert Worker(tool.store).turn()  # type: ignore[attr-defined]
    assert "Open the report" in page(tool, f"/jobs/{job}")
    report = tool.get(f"/jobs/{job}/files/report.html")
    assert report.status_code == 200 and "Accuracy" in report.text
    assert "sandbox" in report.headers["content-security-policy"]
    assert tool.post(f"/reading/{study['id']}/delete.json").status_code == 200
    assert tool.get(f"{path}.json").status_code == 404 and tool.get(f"/jobs/{job}/files/report.html").status_code == 200


def test_numbers_without_truth_and_labels_of_a_table(tool: TestClient) -> None:
    set = images(tool)
    names = [file["name"] for file in tool.get(f"/images/{set}.json").json()["files"]]
    lines = [f"{name.rpartition('/')[2]},{10 * k},d{k % 2}\n" for k, name in enumerate(names)]
    text = "file,share,donor\n" + "".join(lines)
    sent = tool.post("/reading/table.json", data={"set": set}, files={"file": ("labels.csv", text.encode())})
    assert sent.status_code == 200, sent.text
    offered = tool.get("/reading/new.json", params={"set": set}).json()
    known = {one["title"]: one for one in offered["known"]}
    assert offered["group"] == known["donor of labels.csv"]["id"], "a donor belongs together"
    assert "share of labels.csv" in page(tool, f"/reading/new?set={set}")
    share, donor = known["share of labels.csv"], known["donor of labels.csv"]
    assert share["number"] and share["images"] == 6 and donor["values"] == {"d0": 3, "d1": 3}
    study = made(tool, set, kind="number", truth=share["id"], group=donor["id"], low=0, high=100, unit="%", classes="")
    store: Store = tool.store  # type: ignore[attr-defined]
    for name, bias in (("anna", 1.0), ("ben", 5.0)):
        path = seated(tool, study["code"], name)
        refused = tool.post(f"{path}/answer.json", data={"showing": turn(tool, path)["showing"], "answer": "101"})
        assert refused.status_code == 400 and "from 0 to 100" in refused.json()["what"]
        while (told := turn(tool, path))["stage"] == "reading":
            query = "SELECT truth FROM study_images JOIN showings ON image = number WHERE study = ? AND code = ?"
            row = store.row(query, study["id"], told["showing"])
            said(tool, path, str(float(row["truth"]) + bias))  # type: ignore[index]
    figures = tool.get(f"/reading/{study['id']}/results.json").json()["figures"]
    assert figures["lines"][1]["figures"]["mae"]["value"] == pytest.approx(5)
    assert figures["agreement"][0]["figures"]["icc31"]["value"] == pytest.approx(1)
    assert figures["agreement"][0]["figures"]["icc21"]["value"] < 1
    none = made(tool, set, truth="", classes="a, b")
    all_said(tool, seated(tool, none["code"], "anna"), "a")
    assert not tool.get(f"/reading/{none['id']}/results.json").json()["figures"]["truth"]


@pytest.mark.parametrize("asked", [
    {"classes": "dark"}, {"classes": ",".join(map(str, range(10)))}, {"classes": "no, such"}, {"kind": "poem"},
    {"kind": "number", "low": "9", "high": "1"}, {"truth": "0123456789abcdef:x"}, {"model": "nuclei", "rounds": "2"},
    {"model": "no-such", "rounds": "2"}, {"set": "0123456789abcdef"}, {"images": "-1"}, {"rounds": "3"},
    {"group": "0123456789abcdef:x"}, {"model": "example:medium", "rounds": "2"},
])  # fmt: skip
def test_a_study_that_cannot_be_is_refused_in_three_fields(tool: TestClient, asked: dict[str, str]) -> None:
    form = {"set": images(tool, 2), "truth": "folders", "classes": "dark, bright", **asked}
    answered = tool.post("/reading.json", data=form)
    assert 400 <= answered.status_code < 500 and set(answered.json()) == {"what", "where", "mend"}, answered.text


def test_a_double_click_makes_one_study_and_an_image_that_breaks_is_left_out(tool: TestClient) -> None:
    whole = images(tool, 4)
    tool.post("/images.json", data={"into": whole}, files=[("files", ("my images/dark/cut.png", png(3)[:-30]))])
    form = {"set": whole, "truth": "folders", "classes": "dark, bright"}
    ids = {tool.post("/reading.json", data=form).json()["id"] for _ in range(2)}
    assert len(ids) == 1
    assert Worker(tool.store).turn()  # type: ignore[attr-defined]
    study = tool.get(f"/reading/{ids.pop()}.json").json()["study"]
    assert study["state"] == "open" and study["facts"]["images"] == 4


def test_with_accounts_readers_are_who_they_are_and_see_nothing_of_others(tmp_path: Path) -> None:
    app = create(Settings(folder=tmp_path / "web", accounts=True, limits=Limits(free=0)))
    people = People(app.state.store)
    keys = {name: people.enter(people.add(name, "not to be guessed", role), kind="key")
            for name, role in (("olga", "analyst"), ("rita", "reader"), ("rob", "reader"))}  # fmt: skip
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        client.store = app.state.store  # type: ignore[attr-defined]

        def as_(name: str) -> TestClient:
            client.headers["authorization"] = f"Bearer {keys[name]}"
            return client

        study = two(as_("olga"))
        path = seated(as_("rita"), study["code"], "somebody else")
        assert as_("rita").get(f"{path}.json").json()["name"] == "rita"
        assert as_("rob").get(f"{path}.json").status_code == 404
        showing = turn(as_("rita"), path)["showing"]
        assert as_("rob").get(f"{path}/picture/{showing}").status_code == 404
        for name in ("rita", "rob"):
            assert as_(name).post("/reading.json", data={"set": "0" * 16}).status_code == 403
            for asked in ("", "/results"):
                assert as_(name).get(f"/reading/{study['id']}{asked}.json").status_code in (403, 404)
            assert as_(name).get(f"/reading/{study['id']}/answers.csv").status_code == 404
            assert as_(name).get(f"/reading/{study['id']}/pictures/0").status_code == 404
        loud = {"code": study["code"].upper()}
        assert as_("rob").get("/read", params=loud, follow_redirects=False).status_code == 303
        assert as_("rob").get("/read", params={"code": "wrong"}).status_code == 404
