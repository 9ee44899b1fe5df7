"""The commands that look at rows as points of an embedding: embed and similar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.answer import gathered, labelled
from potency.cli.frame import Failed, Options, command
from potency.cli.progress import Progress
from potency.cli.rows import EACH_HELP, NAMES_HELP, Rows, describe, grid, listed, spread
from potency.errors import ImageError, ManifestError, MissingExtra, PlanError, nearest

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

app = typer.Typer()
COLOURS = {"bad": "red", "caution": "yellow", "good": "green", "unknown": "dim"}
SEEN = "This model learned from these very images: the map shows what it knows by heart, too"


@dataclass(frozen=True, kw_only=True)
class Embed(Rows):
    bundle: Annotated[
        Path | None, typer.Option(help="A trained model, or example:NAME. [dim]else the table's own embeddings[/dim]")
    ] = None
    into: Annotated[Path, typer.Option(help="Folder of embeddings.parquet and embedding.html.")] = Path("out/embedding")
    layout: Annotated[str, typer.Option(metavar="A,B,...", help="pca, tsne, umap. [dim]else all there are[/dim]")] = ""
    colour: Annotated[str, typer.Option(metavar="COLUMN", help="What colours the points at first.")] = ""
    name: Annotated[str, typer.Option(help="Column of the vectors.")] = "embedding"
    seed: Annotated[int, typer.Option(min=0, help="Of the layouts.")] = 0


@command(
    app,
    ("cells/ --bundle out/first/bundle", "a map of all images, coloured by any column of the table"),
    ("out/first/predictions.parquet --bundle out/first/bundle --colour plate", "out-of-fold answers, by plate"),
    ("out/embedding/embeddings.parquet --layout pca", "drawn again; any table of vectors will do"),
    again="the same command goes on: rows that are done are kept",
)
def embed(options: Embed, say: Console) -> dict[str, Any]:
    """Place images by what a network makes of them: vectors, a map, what it shows, and what stands for each class."""
    from potency.bundle import Bundle
    from potency.embedding import embed as apply
    from potency.embedding.page import draw

    manifest, banners = options.read(), []
    known(options.layout, options.colour, manifest)
    describe(manifest, say)
    with Progress() as progress:
        if options.bundle is not None:
            bundle = Bundle.load(options.bundle)
            labelled(bundle, say)
            if learned_from(bundle, manifest):
                banners.append(SEEN)
            manifest = answered(manifest, bundle, progress)
            manifest = apply(manifest, bundle, into=options.into, name=options.name, progress=progress.of("embedding"))
            refuse_all_failed(manifest, options.name, options.source)
        options.into.mkdir(parents=True, exist_ok=True)
        drawn = draw(
            manifest, options.into, name=options.name, ways=listed(options.layout), colour=options.colour,
            banners=banners, seed=options.seed, progress=progress.of("drawing"),
        )  # fmt: skip
    table = drawn.rows.write(options.into / "embeddings.parquet")
    reading = drawn.reading
    say.print(f"[{COLOURS[reading.mark]}]{escape(reading.verdict)}[/{COLOURS[reading.mark]}]", soft_wrap=True)
    for name, cell, *_ in drawn.answers["table"].rows if drawn.answers else ():
        say.print(f"  {name}: {drawn.answers['table'].head[1]} {cell}".lower())
    say.print(f"written: {drawn.page} and {table.name}", soft_wrap=True)
    error = f"{options.name}.error"
    errors = int(drawn.rows.table[error].notna().sum()) if error in drawn.rows.table else 0
    shares = {
        kind: {"share": found.share, "chance": found.chance, "gain": found.gain}
        for kind, found in (("class", reading.classes), ("group", reading.groups)) if found is not None
    }  # fmt: skip
    return {
        "rows": len(manifest), "errors": errors, "table": table, "page": drawn.page, "mark": reading.mark,
        "verdict": reading.verdict, "neighbours": shares, "silhouette": reading.silhouette,
        "answers": drawn.answers["numbers"] if drawn.answers else {},
    }  # fmt: skip


def known(names: str, colour: str, manifest: Manifest) -> None:
    """PlanError, MissingExtra or ManifestError for what cannot be drawn here, before anything is worked on."""
    from importlib.util import find_spec

    from potency.embedding.layout import LAYOUTS

    for name in listed(names):
        if name not in LAYOUTS:
            raise PlanError(f"there is no layout {name!r}", "--layout", nearest(name, LAYOUTS))
        if name == "umap" and not find_spec("umap"):
            raise MissingExtra("umap-learn", "embed")
    columns = [*map(str, manifest.table.columns), "confidence"]
    if colour and colour not in columns and not colour.startswith("prediction"):  # these may come of the bundle
        raise ManifestError(f"no column {colour!r} can colour the points", "--colour", nearest(colour, columns))


def answered(manifest: Manifest, bundle: Bundle, progress: Progress) -> Manifest:
    """The rows with the bundle's answers, so that they can colour; a table that has answers keeps its own."""
    from potency.inference.predict import predict

    if "prediction" in manifest.table:
        return manifest
    return predict(manifest, bundle, into=None, progress=progress.of("predicting"))


def learned_from(bundle: Bundle, manifest: Manifest) -> bool:
    """Whether the bundle's card names these very rows, and they bring no answers of models that had not seen them."""
    if "prediction" in manifest.table:
        return False
    return bool(bundle.card.data.get("fingerprint")) and bundle.card.data["fingerprint"] == manifest.fingerprint()


def refuse_all_failed(manifest: Manifest, name: str, where: Path) -> None:
    errors = manifest.table[f"{name}.error"]
    if len(errors) and errors.notna().all():
        what = f"none of {len(errors)} rows could be embedded; the first: {errors.iloc[0]}"
        raise ImageError(what, str(where), "mend the images, then give the same command")


@dataclass(frozen=True, kw_only=True)
class Similar(Options):
    bundle: Annotated[Path, typer.Argument(help="The folder of a trained model, or example:NAME.")]
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, a folder, or a table.")]
    among: Annotated[Path, typer.Option(metavar="FOLDER|TABLE", help="Where to look: labelled rows, embedded or not.")]
    into: Annotated[Path, typer.Option(help="Folder of similar.parquet, similar.csv and similar.html.")] = Path(
        "out/similar"
    )
    count: Annotated[int, typer.Option(min=1, max=50, help="Rows shown of each image.")] = 5
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="Leave out the image's own group.")] = False
    truth: Annotated[str, typer.Option(help="Column of the truth of --among. [dim]found by its name[/dim]")] = ""
    group: Annotated[str, typer.Option(help="Column of the groups of both. [dim]else inferred, and shown[/dim]")] = ""
    channels: Annotated[str, typer.Option(metavar="A,B,...", help="Channels kept in files of their own, by name.")] = ""
    names: Annotated[str, typer.Option(metavar="PATTERN|REGEX", help=NAMES_HELP)] = ""
    each: Annotated[str, typer.Option(metavar="t,z,series", help=EACH_HELP)] = ""
    first: Annotated[int, typer.Option(min=0, metavar="N", help="The first N images only. [dim]0: all[/dim]")] = 0


@command(
    app,
    ("out/first/bundle new.tif --among cells/", "the labelled images that look most like this one to the model"),
    ("out/first/bundle new/ --among out/embedding/embeddings.parquet", "among rows that are embedded already"),
    ("out/first/bundle cells/ --among cells/ --elsewhere --first 40", "the likest of other groups, for forty rows"),
    again="the same command goes on: rows that are embedded are kept",
)
def similar(options: Similar, say: Console) -> dict[str, Any]:
    """Find the labelled images that a model takes for most alike to each image, and show them side by side."""
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.embedding import embed as apply
    from potency.embedding import similar as look
    from potency.embedding.gallery import write_page

    manifest = spread(questions(options), options.each)
    if options.first:
        manifest = manifest.where(lambda table: table.index < options.first)
    among = Manifest.read(options.among, truth=options.truth or None, group=options.group or None,
                          channels=listed(options.channels), names=options.names)  # fmt: skip
    bundle = Bundle.load(options.bundle)
    labelled(bundle, say)
    with Progress() as progress:
        if among.kinds.get("embedding") != "vector":
            among = apply(without(among), bundle, into=options.into / "among",
                          progress=progress.of("embedding the others"))  # fmt: skip
            refuse_all_failed(among, "embedding", options.among)
        asked = apply(without(manifest), bundle, into=options.into, progress=progress.of("embedding"))
        refuse_all_failed(asked, "embedding", options.images[0])
        asked = answered(asked, bundle, progress)
    made = look(asked, among, options.count, elsewhere=options.elsewhere)
    page = write_page(made, among, options.into, options.count)
    narrow = Manifest(made.table.drop(columns=["embedding"]), {k: v for k, v in made.kinds.items() if k != "embedding"},
                      made.folder, made.origin)  # fmt: skip
    table = narrow.write(options.into / "similar.parquet")
    narrow.write(options.into / "similar.csv")
    shown(made, options, say)
    say.print(f"written: {page} and {table.name}", soft_wrap=True)
    errors = int(made.table["embedding.error"].notna().sum())
    answer = {"rows": len(made), "errors": errors, "among": len(among), "table": table, "page": page}
    if made.table["nearest.1"].isna().all():
        raise Failed(answer, ManifestError("no image has a neighbour that is allowed", str(options.among),
                                           "leave --elsewhere out, or look among more groups"))  # fmt: skip
    return answer


def questions(options: Similar) -> Manifest:
    """The images that are asked about; of a folder or table, with its groups."""
    from potency.data.manifest import Manifest

    if len(options.images) == 1 and options.group:
        return Manifest.read(options.images[0], group=options.group, channels=listed(options.channels),
                             names=options.names)  # fmt: skip
    return gathered(options.images, options.channels, options.names)


def without(manifest: Manifest) -> Manifest:
    """The rows without embeddings of their own, which may be of another model."""
    from dataclasses import replace

    old = [c for c in manifest.table if str(c) == "embedding" or str(c).startswith("embedding.")]
    kinds = {k: v for k, v in manifest.kinds.items() if k not in old}
    return replace(manifest, table=manifest.table.drop(columns=old), kinds=kinds)


def shown(made: Manifest, options: Similar, say: Console) -> None:
    """Print the first images with what lies nearest."""
    rows = {}
    for row in made.table.head(10).to_dict("records"):
        near = {}
        for rank in range(1, min(options.count, 3) + 1):
            name = row.get(f"nearest.{rank}")
            if isinstance(name, str):
                truth = row.get(f"nearest.{rank}.truth")
                words = [Path(name).name, *([str(truth)] if truth == truth and truth is not None else [])]
                near[str(rank)] = " ".join([*words, f"{row[f'nearest.{rank}.similarity']:.3f}"])
        rows[Path(str(row["id"])).name] = near
    grid("image", rows, say)
