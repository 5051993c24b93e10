"""textpipe augment"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import artifacts_option, engine_option, overrides_option
from textpipe.commands._tables import column_of, format_option, read_format
from textpipe.commands.predict import read_options, token_option

CHUNK_ROWS = 1024  # texts answered and written at once


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("model")
@click.argument("texts", metavar="[TEXTS]...", nargs=-1)
@click.option(
    "--output",
    metavar="OUT",
    type=click.Path(path_type=Path),
    required=True,
    help="File of rows to write: .csv, or JSON lines.",
)
@click.option(
    "--direction",
    type=click.Choice(["backward", "forward"]),
    default="backward",
    show_default=True,
    help="backward: MODEL writes sources for TEXTS of the target language; forward: it writes targets for sources.",
)
@click.option("--column", metavar="COLUMN", help="Column of the texts, by name or number, where TEXTS are tables.")
@format_option
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Decoder setting of MODEL, e.g. beam_size=1."
)
@click.option(
    "--noise",
    "noises",
    multiple=True,
    metavar="NAME=VALUE",
    help="Noise in the sources (Edunov et al. 2018): delete=0.1, fill=0.1, shuffle=3, filler=_.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Seed of the noise, and of a decoder that samples.",
)
@click.option("--max-rows", type=click.IntRange(1), help="Translate only this many texts, counted after filtering.")
@click.option(
    "--max-characters", type=click.IntRange(1), default=1000, show_default=True, help="Maximum length of a text."
)
@click.option(
    "--on-too-long",
    type=click.Choice(["drop", "cut"]),
    default="drop",
    show_default=True,
    help="How longer texts are handled.",
)
@click.option(
    "--max-foreign",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Largest share of a file's texts in another language than the pipeline's rows; they are dropped. 1 turns the check off.",
)
@click.option("--model-version", metavar="N", help="Model version to use.")
@overrides_option
@artifacts_option
@token_option
@engine_option
@click.option("--force", is_flag=True, help="Overwrite OUT.")
def command(
    pipeline: Path, model: str, texts: tuple[str, ...], output: Path, direction: str, column: str | None, form: str | None,
    options: tuple[str, ...], noises: tuple[str, ...], seed: int, max_rows: int | None, max_characters: int, on_too_long: str,
    max_foreign: float, model_version: str | None, overrides: tuple[str, ...], artifacts: Path, token: str | None,
    engine: str | None, force: bool,
) -> None:  # fmt: skip
    """Make training rows by translating texts with a trained model.

    PIPELINE is the pipeline of the model to be trained. With --direction backward, MODEL translates the other way, and TEXTS are monolingual
    texts of the target language: text files, tables with --column, also compressed, or glob patterns. With forward, MODEL is a teacher
    of the same direction, and TEXTS are sources; without TEXTS, those of the training rows (distillation).

    Writes one row per text to OUT, with the fields of the pipeline and the column origin. To train on these rows, set

    \b
      [ingest.synthetic]
      files = "OUT"
      tag = "<BT>"

    Texts that occur in valid or test, duplicates, and empty, overlong or foreign-language texts are left out and counted in
    OUT.manifest.json. If the command is interrupted, running it again resumes it, and OUT is the same as without the interruption.

      textpipe augment pipelines/multi30k_en_de.toml saved_models/multi30k_de_en mono/*.de.gz --output data/bt.jsonl
    """
    from textpipe import engines
    from textpipe.augmentation import job as jobs
    from textpipe.augmentation import texts as monolingual
    from textpipe.commands import _versions
    from textpipe.commands.bulk import Progress, map_over
    from textpipe.errors import ConfigError
    from textpipe.inference import bulk, records
    from textpipe.savedmodel.description import DEFAULT

    files = monolingual.expand(texts)
    if not files and direction == jobs.BACKWARD:
        raise ConfigError(
            "TEXTS: none given; give files with texts of the target language, or --direction forward for the training rows"
        )
    file_format = records.format_of(output)
    if file_format not in jobs.FORMATS:
        raise ConfigError(
            f"{output}: rows are written as JSON lines or CSV, as ingest reads no escapes in TSV; name it .jsonl or .csv"
        )
    bulk.check_output(output, force)
    noise, text_column, file_form = read_noise(noises), column and column_of(column), read_format(form)
    job = jobs.create(direction, *ingested(pipeline, overrides, artifacts), noise, seed)
    languages = job.languages if max_foreign < 1 else None
    monolingual.check_language(files, text_column, file_form, languages, job.text_field.name, max_foreign)
    pinned = _versions.pin(model, token, model_version, bulk.read_request(output))
    settings: dict[str, Any] = {"signature": DEFAULT, "options": seeded(read_options(options), pinned.loaded, seed)}
    name = f"{pinned.base}/{pinned.version}" if pinned.version else pinned.base
    predict = functools.partial(translate, pinned, settings)
    jobs.check_model(job, pinned.loaded, predict, name, max_foreign)
    checked = monolingual.TextFilter(job.held_out(job.text_field), languages, max_characters, on_too_long)
    request = {
        "pipeline": str(pipeline), "rows": job.ingested.name, "direction": direction, "model": pinned.base,
        **({"version": pinned.version} if pinned.version else {}), "model_sha256": jobs.model_digest(pinned.loaded),
        "options": settings["options"], "noise": noise.model_dump(), "seed": seed, "files": [bulk.fingerprint(file) for file in files],
        "column": text_column, "format": form, "max_rows": max_rows, "max_characters": max_characters, "on_too_long": on_too_long,
        "max_foreign": max_foreign,
    }  # fmt: skip
    stream = checked(monolingual.read(files, text_column, file_form) if files else job.training_texts())
    with contextlib.closing(engines.open(engines.parse(engine))) as workers, Progress() as progress:
        done = bulk.answer_file(
            functools.partial(jobs.answer_rows, job.row, predict), first_rows(stream, max_rows), output, request=request, force=force,
            chunk_rows=CHUNK_ROWS, map_chunks=functools.partial(map_over, workers), on_progress=progress.update, whole_chunks=True,
            finish=lambda part, out: jobs.finish(job, checked, request, part, out, file_format),
        )  # fmt: skip
    click.echo(f"{jobs.describe(checked.table())} texts; {done:,} translated", err=True)
    click.echo(str(output))


def ingested(pipeline: Path, overrides: Sequence[str], artifacts: Path) -> tuple[str, Path]:
    """The task of a pipeline and the result of its ingest without synthetic rows, which is made if it is not cached."""
    from textpipe.augmentation import job as jobs
    from textpipe.commands._pipeline import StageLog
    from textpipe.pipeline import runner as pipelines

    loaded = pipelines.Pipeline.load(pipeline, (*overrides, "ingest.synthetic="))
    jobs.text_fields(loaded.task)  # before anything is read or downloaded
    result = pipelines.run(loaded, until="ingest", artifacts=artifacts, on_event=StageLog())
    return loaded.task, result.artifacts["ingest"].path


def read_noise(assignments: Sequence[str]) -> Any:
    """--noise as a checked section; raises ConfigError."""
    from textpipe.augmentation.noise import Noise
    from textpipe.config import sections

    tables = sections.override({}, tuple(f"noise.{assignment}" for assignment in assignments))
    return sections.check("--noise", {"noise": Noise}, tables)["noise"]


def seeded(options: Mapping[str, str], model: Any, seed: int) -> dict[str, str]:
    """The options, with the seed where the decoder samples."""
    from textpipe.savedmodel.signatures import find_with_options

    signature = find_with_options(model.described.values())
    seed_option = {"seed": str(seed)} if signature is not None and "seed" in signature.options else {}
    return {**seed_option, **options}


def translate(pinned: Any, settings: Mapping[str, Any], texts: Sequence[str]) -> list[str]:
    """The model's answers to texts."""
    return [row["answer"] for row in pinned.predict(texts, **settings)]


def first_rows(texts: Iterator[str], limit: int | None) -> Iterator[str]:
    """At most the first `limit` texts."""
    from itertools import islice

    return texts if limit is None else islice(texts, limit)
