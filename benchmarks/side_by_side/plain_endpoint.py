"""The other side of serve.py: a plain endpoint as one writes it first, FastAPI and the same network in eager torch."""

from __future__ import annotations

import io
import socket
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from potency.bundle import Bundle, NetworkMember

member = Bundle.load(sys.argv[1]).members[0]
assert isinstance(member, NetworkMember)
network, classes, ranges = member.module().eval(), member.plan.classes, torch.from_numpy(member.plan.ranges())
app = FastAPI()


@app.post("/predict")
def predict(files: UploadFile) -> dict[str, float]:
    """The class probabilities of an image."""
    picture = Image.open(io.BytesIO(files.file.read())).convert("RGB")
    image = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float()
    low, high = ranges[:, 0][:, None, None], ranges[:, 1][:, None, None]
    with torch.inference_mode():
        output = network((image - low) / (high - low))["output"].softmax(1)[0]
    return dict(zip(classes, output.tolist(), strict=True))


if __name__ == "__main__":
    # The protocol is named as uvicorn does, or asyncio would not switch Nagle's algorithm off (40 ms an answer).
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    print(f"open http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
