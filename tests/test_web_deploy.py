"""Recipes of deployment are well formed: the image, its compose file, the service, and the token they hand over."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import started

from potency.cli.serve import Serve, token_of
from potency.errors import PotencyError
from potency.web.server import model_folder
from potency.web.store import Store

HOME = Path(__file__).parents[1]
DEPLOY = HOME / "deploy"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: their name and what follows it, over broken lines."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines if line.strip()]


def test_the_image_is_small_runs_as_nobody_and_says_how_it_is() -> None:
    found = instructions()
    names = [name for name, _ in found]
    known = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert set(names) <= known and names[0] == "FROM" and names.count("FROM") == 2
    last = found[len(names) - 1 - names[::-1].index("FROM") :]
    order = [name for name, _ in last]
    assert all(of.endswith("-slim") for name, of in ((n, w.split(" AS ")[0]) for n, w in found) if name == "FROM")
    assert order.index("RUN") < order.index("USER") < order.index("VOLUME") < order.index("ENTRYPOINT")
    assert order[-2:] == ["ENTRYPOINT", "CMD"] and "RUN" not in order[order.index("USER") :], "nothing is done as root"
    said = dict(last)
    assert said["USER"].isdigit() and said["USER"] != "0", "Kubernetes knows by the number that it is not root"
    assert "/health" in said["HEALTHCHECK"] and said["VOLUME"] == "/data"
    commands = [json.loads(said[name]) for name in ("ENTRYPOINT", "CMD")]
    assert commands[0][:2] == ["potency", "serve"] and commands[1] == ["--token"]
    torch, package = (next(k for k, (_, w) in enumerate(found) if f" {word}" in w) for word in ("torch", '".['))
    assert torch < package and "whl/cpu" in found[torch][1], "else torch comes with CUDA"
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    for name, words in found:
        for source in words.split()[:-1] if name == "COPY" and "--from" not in words else ():
            assert (HOME / source).exists() and f"!{source.removeprefix('./')}" in ignored


def test_the_compose_file_gives_a_volume_and_a_token_and_opens_nothing_to_others() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    one = told["services"]["potency"]
    assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
    assert all(port.startswith("127.0.0.1:") and port.endswith(":8765") for port in one["ports"])
    (volume,), (secret,) = one["volumes"], one["secrets"]
    assert volume.split(":")[0] in told["volumes"] and volume.endswith(":/data") and secret in told["secrets"]
    assert one["command"][:2] == ["--token-file", f"/run/secrets/{secret}"]
    assert one["cap_drop"] == ["ALL"] and one["read_only"] and "no-new-privileges:true" in one["security_opt"]
    assert_understood(one["command"])


def test_the_service_is_understood_and_hardened(tmp_path: Path) -> None:
    text = (DEPLOY / "potency.service").read_text("utf-8")
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    program, *words = shlex.split(command.removeprefix("ExecStart="))
    assert program.endswith("bin/potency") and words[0] == "serve"
    assert_understood(words[1:])
    for line in ("DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    (tmp_path / "potency.service").write_text(text.replace(program, sys.executable), "utf-8")
    ran = subprocess.run(["systemd-analyze", "verify", str(tmp_path / "potency.service")], capture_output=True,
                         text=True, check=False)  # fmt: skip
    if "Failed to" in ran.stderr and "potency.service" not in ran.stderr:
        pytest.skip(f"systemd-analyze does not run here: {ran.stderr.strip()[:200]}")
    assert not ran.returncode and "potency.service" not in ran.stderr, ran.stderr


def assert_understood(words: list[str]) -> None:
    """The words are options of `potency serve`."""
    import typer

    from potency.cli import app

    verb = typer.main.get_command(app).get_command(None, "serve")  # type: ignore[attr-defined]
    verb.make_context("serve", list(words))


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POTENCY_TOKEN", raising=False)
    path = tmp_path / "token"
    path.write_text(" a-token-of-mine-0123 \n", "utf-8")
    assert token_of(Serve(token_file=path)) == ("a-token-of-mine-0123", True)
    assert token_of(Serve()) == ("", False) and len(token_of(Serve(token=True))[0]) > 20
    monkeypatch.setenv("POTENCY_TOKEN", "from-the-environment-1")
    assert token_of(Serve(token=True)) == ("from-the-environment-1", True)
    path.write_text("", "utf-8")
    for odd, what in ((path, "empty"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(PotencyError, match=what):
            token_of(Serve(token_file=odd))


def test_a_server_with_a_token_of_a_file_tells_it_to_nobody(tmp_path: Path) -> None:
    import httpx

    token = tmp_path / "token"
    token.write_text("a-token-of-mine-0123", "utf-8")
    process, address = started(tmp_path / "web", "--token-file", str(token))
    try:
        assert httpx.get(address + "health").json()["potency"]
        assert httpx.get(address + "index.json").status_code == 401
        key = {"authorization": "Bearer a-token-of-mine-0123"}
        assert httpx.get(address + "index.json", headers=key).status_code == 200
    finally:
        with process:
            process.terminate()
            told = process.communicate()[0]
    assert "a-token" not in told
    assert os.listdir(tmp_path / "web" / "arriving") == [], "uploads wait on the disk of the tool, and leave nothing"


def test_models_to_warm_are_looked_up_before_anything_starts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (model_folder(store, "example:medium") / "card.json").is_file()
    for name in ("0123456789abcdef", "no-such", "example:no-such"):
        with pytest.raises(PotencyError, match="no "):
            model_folder(store, name)
