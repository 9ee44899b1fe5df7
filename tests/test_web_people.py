"""Accounts of the web tool: roles, one person's things out of another's reach, keys, the log."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from visitors import PASSWORD, belongings, id_of, logged_in, png, sent, tool, visitor

from potency.errors import PotencyError
from potency.web import journal
from potency.web.app import create
from potency.web.guard import Tries
from potency.web.pages import PAGES
from potency.web.people import People
from potency.web.settings import Limits, Settings
from potency.web.store import Store

NEXT = "another long word"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return tool(tmp_path_factory.mktemp("lab") / "web", accounts=True)


def routes() -> list[tuple[str, str]]:
    """Every route of every page: method and path, whether described or not."""
    return [(method, route.path) for pages in PAGES for route in pages.router.routes  # type: ignore[attr-defined]
            for method in sorted(route.methods)]  # type: ignore[attr-defined]  # fmt: skip


def test_nothing_of_one_person_is_there_for_another(lab: FastAPI) -> None:
    """Every route, asked by another person with the ids of the first; a route that is new is asked by itself."""
    own = belongings(lab, "ana")
    before = everything(lab)
    for other in ("bea", "ada"):
        client = logged_in(lab, other)
        asked = 0
        for method, path in routes():
            names = re.findall(r"{(\w+)(?::path)?}", path)
            if path.startswith(("/people", "/log", "/enter", "/leave", "/account/sessions")) or not names:
                continue
            unknown = [name for name in names if name not in own]
            if unknown:
                pytest.fail(f"{path}: say in `belongings` what {unknown} of another person is")
            where = re.sub(r"{(\w+)(?::path)?}", lambda found: own[found[1]], path)
            if path.startswith("/images/examples/"):
                continue
            data = {"title": "x", "set": own["set"], "model": own["model"], "job": own["job"], "label": "x"}
            said = {"json": {"base": 0, "operations": []}} if "/edits" in path else {"data": data}
            for accept in ("application/json", "text/html"):
                answer = client.request(method, where, headers={"accept": accept}, follow_redirects=False,
                                        **(said if method == "POST" else {}))  # type: ignore[arg-type]
                assert answer.status_code in (404, 405, 422), (method, path, answer.status_code)
                assert "private" not in answer.text, path
            asked += 1
        assert asked >= 15
        for method, path in routes():
            if method == "GET" and "{" not in path and path not in ("/enter", "/leave"):
                text = client.get(path, headers={"accept": "text/html"}).text
                ids = [own[name] for name in ("set", "file", "job", "model")]
                assert path.startswith("/log") or not [id for id in ids if id in text], path
                assert "private" not in text, path
        for data in ({"model": own["model"], "set": own["set"]}, {"model": "example:medium", "set": own["set"]}):
            assert client.post("/answer.json", data=data).status_code == 404
        assert sent(client, ("a.png", png()), into=own["set"]).status_code == 404
    assert everything(lab) == before, "and nothing of hers has changed"


def everything(app: FastAPI) -> str:
    owner, store = id_of(app, "ana"), app.state.store
    tables = ("sets", "jobs", "models")
    return json.dumps([store.rows(f"SELECT * FROM {table} WHERE owner = ?", owner) for table in tables])


READER_MAY_NOT = ["/images.json", "/models.json", "/images/{set}/delete.json", "/images/{set}/strip.json",
                  "/models/{model}/delete.json"]  # fmt: skip


def test_each_role_may_do_what_is_its_own(lab: FastAPI) -> None:
    rob, ana = logged_in(lab, "rob"), logged_in(lab, "ana")
    for path in READER_MAY_NOT:
        told = rob.post(re.sub("{.*?}", "0" * 16, path), files=[("files", ("a.png", png()))])
        assert told.status_code == 403 and "analyst" in told.json()["what"], path
    told = rob.post("/answer.json", data={"model": "example:medium"}, files=[("files", ("a.png", png()))])
    assert told.status_code == 403, "nor by another door"
    assert ana.post("/images.json", files=[("files", ("a.png", png()))]).status_code == 200
    assert "sent to this server. Of those who use it only you" in ana.get("/answer").text, "and it is said who sees it"
    for client in (rob, ana):
        for method, path in routes():
            if path.startswith(("/people", "/log")):
                answer = client.request(method, path.replace("{id}", "1"))
                assert answer.status_code == 403 and "ada" not in answer.text, path
    script = visitor(lab, headers={"authorization": f"Bearer {key_of(lab, 'rob')}"})
    assert script.post("/images.json", files=[("files", ("a.png", png()))]).status_code == 403


def key_of(app: FastAPI, name: str) -> str:
    return str(logged_in(app, name).post("/account/keys.json", data={"label": "script"}).json()["secret"])


def test_a_key_works_for_a_script_until_it_is_revoked_and_makes_no_others(lab: FastAPI) -> None:
    bea = logged_in(lab, "bea")
    page = bea.post("/account/keys", data={"label": "<b>watcher</b>"}, headers={"accept": "text/html"}).text
    secret = page.partition('id="secret">')[2].partition("<")[0]
    assert len(secret) > 40 and "<b>" not in page
    again = bea.get("/account/keys")
    assert again.url.path == "/account" and secret not in again.text, "loading it again shows no key and makes none"
    assert sum(one["label"] == "<b>watcher</b>" for one in bea.get("/account.json").json()["keys"]) == 1
    script = visitor(lab, headers={"authorization": f"Bearer {secret}"})
    assert sent(script, ("a.png", png())).status_code == 200, "without a form's secret"
    for path, data in {"/account/keys.json": {"label": "x"}, "/account/sessions/end.json": {},
                       "/account/password.json": {"old": PASSWORD, "new": NEXT, "again": NEXT}}.items():  # fmt: skip
        assert script.post(path, data=data).status_code == 403, path
    told = bea.get("/account.json").json()
    assert secret not in json.dumps(told) and secret not in json.dumps(lab.state.store.rows("SELECT * FROM sessions"))
    for key in told["keys"]:
        assert bea.post(f"/account/entries/{key['id']}/end.json").status_code == 200
    told = script.get("/index.json")
    assert told.status_code == 401 and "was revoked" in told.json()["what"]
    assert visitor(lab, cookies={"potency": secret}).get("/index.json").status_code == 401


def test_a_password_is_changed_by_who_knows_the_old_one_and_other_sessions_end(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    here, there = logged_in(app, "ana"), logged_in(app, "ana")
    for old, new, again, says in (("wrong", NEXT, NEXT, "old password"), (PASSWORD, NEXT, NEXT + "x", "differ"),
                                  (PASSWORD, "short", "short", "under 10"), (PASSWORD, "aaaaaaaaaa", "aaaaaaaaaa",
                                                                             "repeated")):  # fmt: skip
        told = here.post("/account/password.json", data={"old": old, "new": new, "again": again})
        assert told.status_code == 400 and says in told.json()["what"]
    app.state.tries = Tries()  # a minute later
    told = here.post("/account/password.json", data={"old": PASSWORD, "new": NEXT, "again": NEXT})
    assert told.json() == {"ended": 1} and told.headers["location"] == "/account?changed=true"
    assert "Your password is changed" in here.get(told.headers["location"], headers={"accept": "text/html"}).text
    assert here.get("/index.json").status_code == 200 and there.get("/index.json").status_code == 401
    assert visitor(app).post("/enter.json", data={"name": "ana", "password": PASSWORD}).status_code == 401
    third = logged_in(app, "ana", NEXT)
    assert here.post("/account/sessions/end.json").json() == {"ended": 1} and third.get("/jobs").status_code == 401
    logged_in(app, "ana", NEXT)
    (other,) = [one for one in here.get("/account.json").json()["sessions"]
                if one["id"] != here.get("/account.json").json()["session"]]  # fmt: skip
    assert here.post(f"/account/entries/{other['id']}/end.json").json() == {"ended": 1}


def test_an_admin_adds_changes_and_closes_accounts(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    ada = logged_in(app, "ada")
    made = ada.post("/people.json", data={"name": "Eva", "password": PASSWORD, "role": "reader"}).json()["account"]
    for name in ("eva", "EVA", "local", "Token", "", " x", "a\u202eb", "y" * 65):
        told = ada.post("/people.json", data={"name": name, "password": PASSWORD, "role": "reader"})
        assert told.status_code in (400, 422), name
    eva = logged_in(app, "Eva")
    key = key_of(app, "Eva")
    assert ada.post(f"/people/{made['id']}.json", data={"role": "analyst", "active": "true"}).status_code == 200
    assert sent(eva, ("a.png", png())).status_code == 200, "at once"
    assert ada.post(f"/people/{made['id']}.json", data={"role": "analyst"}).json()["account"]["active"] is False
    assert eva.get("/index.json").status_code == 401, "logged out at once"
    assert visitor(app, headers={"authorization": f"Bearer {key}"}).get("/index.json").status_code == 401
    assert visitor(app).post("/enter.json", data={"name": "Eva", "password": PASSWORD}).status_code == 401
    ada.post(f"/people/{made['id']}.json", data={"role": "analyst", "active": "true"})
    assert ada.post(f"/people/{made['id']}/password.json", data={"password": NEXT}).status_code == 200
    assert visitor(app).post("/enter.json", data={"name": "Eva", "password": NEXT}).status_code == 200
    own = id_of(app, "ada")
    for data in ({"role": "reader", "active": "true"}, {"role": "admin"}, {"role": "king", "active": "true"}):
        assert ada.post(f"/people/{own}.json", data=data).status_code == 400, "somebody must be left"
    assert ada.get("/index.json").status_code == 200
    for odd in ("0", "999", "-1", str(2**63), str(10**40)):
        assert ada.get(f"/people/{odd}.json").status_code in (404, 422)


def test_what_a_closed_account_keeps_is_deleted_by_an_admin_and_by_nobody_else(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    own, others, ada = belongings(app, "ana"), belongings(app, "bea"), logged_in(app, "ada")
    store, ana = app.state.store, id_of(app, "ana")
    page, clear = f"/people/{ana}", f"/people/{ana}/clear.json"
    assert ada.get(f"{page}.json").json()["keeps"] is None, "of an open account nothing is told"
    assert ada.post(clear).status_code == 400 and store.place("sets", own["set"]).is_dir()
    ada.post(f"{page}.json", data={"role": "analyst"})
    told = ada.get(f"{page}.json").json()["keeps"]
    assert {told.pop(part) for part in ("sets", "jobs", "models", "corrections", "studies")} == {1}
    assert told["bytes"] > 1000
    text = ada.get(page, headers={"accept": "text/html"}).text
    assert "1 set of images, 1 job, 1 model, 1 set of corrections, 1 study" in text and "private" not in text
    store.change("UPDATE jobs SET state = 'running', beat = 1e12 WHERE id = ?", own["job"])
    assert ada.post(clear).status_code == 409 and store.place("sets", own["set"]).is_dir(), "while one runs"
    store.change("UPDATE jobs SET state = 'cancelled' WHERE id = ?", own["job"])
    assert logged_in(app, "bea").post(clear).status_code == 403
    lines = store.rows("SELECT * FROM audit WHERE name = 'ana'")
    assert not any(ada.post(clear).json()["keeps"].values())
    ids = ("set", "job", "model", "study", "correction", "file", "item")
    tables = ("sets", "jobs", "models", "studies", "corrections", "files", "corrected", "readers")
    left = json.dumps([store.rows(f"SELECT * FROM {table}") for table in tables])
    assert [(own[id] in left, others[id] in left) for id in ids] == [(False, True)] * len(ids)
    for part, id in zip(tables[:3], ids, strict=False):
        assert (store.place(part, own[id]).exists(), store.place(part, others[id]).exists()) == (False, True)
    assert [path.name[0] for path in (tmp_path / "pieces").iterdir()] == [str(id_of(app, "bea"))]
    assert lines and store.rows("SELECT * FROM audit WHERE name = 'ana'") == lines
    (line,) = store.rows("SELECT * FROM audit WHERE act = 'delete all it keeps'")
    assert (line["name"], line["object"]) == ("ada", str(ana)) and id_of(app, "ana") == ana


def test_the_log_says_who_did_what_with_which_model_and_no_name_of_a_file(tmp_path: Path) -> None:
    app = tool(tmp_path, accounts=True)
    ana, ada = logged_in(app, "ana"), logged_in(app, "ada")
    set = sent(ana, ("Patient Muster.png", png()), title="Patient Muster").json()["set"]
    ana.post("/answer.json", data={"model": "example:medium", "set": set})
    ada.post("/people.json", data={"name": "=cmd()", "password": PASSWORD, "role": "reader"})
    logged_in(app, "=cmd()")
    (line,) = ada.get("/log.json?act=answer").json()["lines"]
    assert line["name"] == "ana" and re.fullmatch(r"example:medium [0-9a-f]{12}", line["model"])
    assert line["version"] and line["address"].startswith("192.0.2.") and line["time"] > 1e9
    table = ada.get("/log/table.csv")
    rows = list(csv.reader(io.StringIO(table.text)))
    assert rows[0] == ["time", "name", "act", "object", "model", "version", "address"] and len(rows) > 6
    assert "'=cmd()" in {row[1] for row in rows} and "=cmd()" not in {row[1] for row in rows}
    whole = table.text + json.dumps(app.state.store.rows("SELECT * FROM audit")) + ada.get("/log").text
    assert "Muster" not in whole and PASSWORD not in whole
    app.state.store.audit({"id": 1, "name": "x"}, "odd", "Patient Muster.png", "<script>")
    assert app.state.store.rows("SELECT object, model FROM audit WHERE act = 'odd'") == [{"object": "?", "model": "?"}]
    app.state.store.change("UPDATE audit SET time = time - 100 * 86400 WHERE act = 'enter'")
    create(Settings(folder=tmp_path, accounts=True, limits=Limits(logged=30)))
    assert not app.state.store.rows("SELECT 1 FROM audit WHERE act = 'enter'"), "kept as long as was said"


def test_no_word_of_an_error_or_a_library_is_written_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        journal.begin()
        try:
            raise ValueError("Patient Muster")
        except ValueError as error:
            logging.getLogger("potency.web").error("a page failed", exc_info=error)
            logging.getLogger("pydicom").warning("odd value: Patient Muster")
            logging.getLogger("potency").warning("job %s failed", "0" * 16)
        said = capsys.readouterr().err
    finally:
        root.handlers[:], root.level = before
    assert "Muster" not in said and "ValueError" in said and Path(__file__).name in said and "0" * 16 in said


def test_accounts_need_an_admin_first_and_one_is_made_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bad_case import command

    from potency.web.server import serve

    with pytest.raises(PotencyError, match="may manage accounts") as told:
        serve(Settings(folder=tmp_path, port=0, accounts=True))
    assert "--add NAME:admin" in told.value.mend
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(PotencyError, match="no password was given"):
        command("serve", "--add", "mara:admin", "--into", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    command("serve", "--add", "mara:admin", "--into", tmp_path)
    monkeypatch.setenv("POTENCY_PASSWORD", NEXT)
    command("serve", "--add", "jo:reader", "--into", tmp_path)
    command("serve", "--add", "kim", "--into", tmp_path)
    people = People(Store(tmp_path))
    assert {one.name: one.role for one in people.all()} == {"jo": "reader", "kim": "analyst", "mara": "admin"}
    assert people.admins == 1 and people.known("mara", PASSWORD) and people.known("jo", NEXT)
