"""A trained model as a folder of numbers and text: called on samples it answers; nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.answers import Answer
from potency.answers.labels import diameter
from potency.bundle.card import Card
from potency.bundle.estimate import EstimatorMember
from potency.bundle.gallery import FILE as GALLERY
from potency.bundle.gallery import Gallery
from potency.bundle.known import Known
from potency.bundle.member import Member, NetworkMember, Output
from potency.bundle.model_card import FILE, model_card
from potency.bundle.rule import RuleMember
from potency.bundle.shipped import located
from potency.errors import BundleError, PotencyError, nearest
from potency.tasks import TASKS, Sample, Task

MEMBERS: Mapping[str, type[Member]] = {
    member.learner: member for member in (NetworkMember, EstimatorMember, RuleMember)
}
TOLERANCE = 1e-3  # of the largest output, between the machine that trained and this one
Examples = Sequence[Sample]
CALIBRATION, KNOWN = "calibration.safetensors", "known.safetensors"


@dataclass(frozen=True, eq=False)
class Bundle:
    """One model, or an ensemble whose members each cut their own crop; call it on samples to get answers.

    Attributes:
        card: what it is and how far to trust it.
        members: the models, in the order of `card.plans`.
        examples: a few samples kept inside, whose outputs are checked when it is loaded.
        folder: where it was loaded from or saved to.
        calibration: training samples that int8 is fitted to; empty in most bundles.
        gallery: some training images with their embeddings, to lay new ones beside; None in many bundles.
    """

    card: Card
    members: tuple[Member, ...]
    examples: Examples = field(default=(), repr=False)
    folder: Path | None = None
    calibration: Examples = field(default=(), repr=False)
    gallery: Gallery | None = field(default=None, repr=False)

    @property
    def task(self) -> Task:
        return TASKS[self.card.task]

    def __call__(self, samples: Sequence[Sample]) -> list[Answer]:
        """Answer a batch of samples; sample["image"] is (C, H, W) as read, of any size.

        Where the plan says so (`closer`), an image whose objects turn out small is seen again at twice its size, unless
        its sample tells by "closer" whether it is.
        """
        answers = self.answers([member.outputs(samples) for member in self.members])
        if not self.closer:
            return answers
        small = [i for i, one in enumerate(answers) if "closer" not in samples[i] and diameter([one]) < self.closer]
        again = self([{**samples[i], "closer": np.asarray(True)} for i in small]) if small else []
        for i, answer in zip(small, again, strict=True):
            answers[i] = answer
        return answers

    @cached_property
    def closer(self) -> float:
        """The median diameter in px under which objects are seen at twice their size; 0 where no network can."""
        known = all(member.reach is not None for member in self.members)  # else its maps cannot be brought back
        return self.card.plans[0].closer if known and self.card.plans else 0.0

    def answers(self, outputs: Sequence[Sequence[Output]]) -> list[Answer]:
        """The answers to a batch of samples from the outputs of each member; how odd a sample is, is their mean."""
        decode, kind = self.task.decode, self.task.answer
        votes = [[decode(one, member.plan) for one in told] for member, told in zip(self.members, outputs, strict=True)]
        joined = votes[0] if len(votes) == 1 else [kind.average(answers) for answers in zip(*votes, strict=True)]
        odd = [
            member.known.distance(np.stack([one["embedding"] for one in told]))
            for member, told in zip(self.members, outputs, strict=True)
            if member.known is not None and len(told)
        ]
        if odd:
            joined = [replace(one, oddity=float(far)) for one, far in zip(joined, np.mean(odd, axis=0), strict=True)]
        return [answer.calibrated(self.card.trust) for answer in joined]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the models and of what is applied after them."""
        total = hashlib.sha256(json.dumps([self.card.task, dict(self.card.trust)]).encode())
        for member in self.members:
            total.update(json.dumps(member.plan.json(), sort_keys=True).encode() + b"".join(member.dumps()))
        if self.calibration:
            total.update(_dumped(self.calibration))
        if known := self._known():
            total.update(b"".join(name.encode() + array.tobytes() for name, array in sorted(known.items())))
        return total.hexdigest()

    def but(self, **changes: Any) -> Bundle:
        """The same models with another card (`trust=`, `validation=`, `data=`)."""
        return replace(self, card=replace(self.card, **changes), folder=None)

    def save(self, folder: Path) -> Bundle:
        """Write the bundle; `folder` appears whole or not at all, and replaces an older bundle there.

        Raises:
            BundleError: the folder holds something else, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "card.json").is_file() and any(folder.iterdir()):
            raise BundleError("the folder exists and holds something else", str(folder), "choose another --into")
        part, old = (folder.with_name(f".{folder.name}.part{os.getpid()}{end}") for end in ("", ".old"))
        try:
            for left in (part, old):
                shutil.rmtree(left, ignore_errors=True)
            part.mkdir(parents=True)
            for i, member in enumerate(self.members):
                for suffix, data in zip(member.suffixes(member.plan), member.dumps(), strict=True):
                    (part / f"{_stem(i)}{suffix}").write_bytes(data)
            (part / "examples.safetensors").write_bytes(self._dump_examples())
            if self.calibration:
                (part / CALIBRATION).write_bytes(_dumped(self.calibration))
            if known := self._known():
                (part / KNOWN).write_bytes(_dumped((), known))
            if self.gallery is not None:
                (part / GALLERY).write_bytes(self.gallery.dumps())
            card = replace(self.card, answer=self.task.answer.kind)
            (part / "card.json").write_text(json.dumps(card.json(), indent=1, ensure_ascii=False), encoding="utf-8")
            (part / FILE).write_text(model_card(self.card), encoding="utf-8")
            for path in part.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            if folder.exists():  # out of the way first: a kill while it is deleted must not leave half a bundle
                folder.replace(old)
                part.replace(folder)
                shutil.rmtree(old)
            else:
                part.replace(folder)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            reason = error.strerror or error
            raise BundleError(
                f"the bundle cannot be written: {reason}", str(folder), "free some space or choose another --into"
            ) from error
        return replace(self, folder=folder)

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Read a bundle and check that it gives the outputs it was saved with; one in the package by its name.

        Raises:
            BundleError: damaged, hostile, of a newer schema, or answering differently on this machine.
        """
        folder = located(folder)
        if folder.is_file():  # an archive is never unpacked: its names could lead anywhere
            raise BundleError("a bundle is a folder, this is a file", str(folder),
                              "unpack it, and give the folder that holds card.json")  # fmt: skip
        if not folder.is_dir():
            raise BundleError("there is no such bundle", str(folder),
                              "give the folder that `potency train` wrote, or a name that `potency models` lists"
                              )  # fmt: skip
        card = Card.read(folder / "card.json")
        if card.task not in TASKS:
            raise BundleError(f"the bundle's task {card.task!r} is not known", str(folder), nearest(card.task, TASKS))
        members = []
        for i, plan in enumerate(card.plans):
            if plan.learner not in MEMBERS:
                raise BundleError(
                    f"the learner {plan.learner!r} is not known", str(folder), nearest(plan.learner, MEMBERS)
                )
            kind = MEMBERS[plan.learner]
            files = {suffix: _read(folder / f"{_stem(i)}{suffix}") for suffix in kind.suffixes(plan)}
            members.append(_built(kind, files, TASKS[card.task], plan, str(folder / _stem(i))))
        path = folder / KNOWN
        arrays = _arrays(path) if path.is_file() else {}
        made = cls(card, tuple(_knowing(m, member, arrays, path) for m, member in enumerate(members)), folder=folder)
        path = folder / CALIBRATION
        fitted = _samples(path, _arrays(path)) if path.is_file() else ()
        examples = made._check_examples(folder / "examples.safetensors")
        return replace(made, examples=examples, calibration=fitted, gallery=Gallery.read(folder))

    def _known(self) -> dict[str, NDArray[Any]]:
        return {
            f"{m}.{name}": array
            for m, member in enumerate(self.members)
            if member.known is not None
            for name, array in member.known.arrays().items()
        }

    def _dump_examples(self) -> bytes:
        outputs = {
            f"output.{m}": np.stack([output["output"] for output in member.outputs(self.examples)])
            for m, member in enumerate(self.members if self.examples else ())
        }
        return _dumped(self.examples, outputs)

    def _check_examples(self, path: Path) -> Examples:
        arrays = _arrays(path)
        examples = _samples(path, arrays)
        for m, member in enumerate(self.members if examples else ()):
            expected = arrays.get(f"output.{m}")
            found = np.stack([output["output"] for output in member.outputs(examples)])
            if expected is None or expected.shape != found.shape:
                raise BundleError("the examples do not belong to these weights", str(path), "copy the bundle again")
            off = float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 1e-6)
            if not off <= TOLERANCE:
                raise BundleError(
                    f"the model answers its own examples differently here (by {off:.2g} of their size)",
                    str(path.parent),
                    "copy the bundle again; if that does not help, run `potency doctor` and retrain",
                )  # fmt: skip
        return examples


def _dumped(samples: Examples, beside: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    from safetensors.numpy import save

    images = {f"image.{i}": np.ascontiguousarray(sample["image"]) for i, sample in enumerate(samples)}
    return bytes(save({**images, **(beside or {})}))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(path.read_bytes()))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"the examples of the bundle cannot be read: {error}", str(path), "copy the bundle again"
        ) from error


def _samples(path: Path, arrays: Mapping[str, NDArray[Any]]) -> list[Mapping[str, NDArray[Any]]]:
    count = sum(name.startswith("image.") for name in arrays)
    missing = [i for i in range(count) if f"image.{i}" not in arrays]
    if missing:
        raise BundleError(f"image {missing[0]} of {count} is missing", str(path), "copy the bundle again")
    return [{"image": arrays[f"image.{i}"]} for i in range(count)]


def _knowing(m: int, member: Member, arrays: Mapping[str, NDArray[Any]], path: Path) -> Member:
    own = {name.removeprefix(f"{m}."): array for name, array in arrays.items() if name.startswith(f"{m}.")}
    return member.knowing(Known.of_arrays(own, str(path))) if own else member


def _stem(i: int) -> str:
    return "weights" if i == 0 else f"weights{i}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"a file of the bundle is missing: {path.name}", str(path.parent), "copy the bundle again"
        ) from error


def _built(kind: type[Member], files: Mapping[str, bytes], task: Task, plan: Any, where: str) -> Member:
    try:
        return kind.loads(files, task, plan, where)
    except PotencyError:
        raise
    except Exception as error:  # a garbled plan can make any constructor fail; to the user it is one damaged bundle
        raise BundleError(
            f"the model cannot be built from its card: {error}", where, "copy the bundle again"
        ) from error
