"""textpipe attention"""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("attention.png"), show_default=True,
    help="Picture to write: .png, .svg or .html.",
)  # fmt: skip
def command(model: Path, text: str, output: Path) -> None:
    """Draw the attention map of the answer to TEXT.

    A row of several fields is a JSON object. Also prints the hard alignment: first all SOURCE-TARGET index pairs on one line (counted from 0, the format of
    fast_align and Pharaoh), then one line per pair with its tokens and weight. A token that attends most to the end of
    the text has no pair.

    For a model that reads pictures, TEXT is the path of a PNG or JPEG file. The picture is drawn once for each word, bright where the word
    attended; each printed line has a word, the row and column of its region of largest weight, and that weight.
    """
    from textpipe.report import attention_map, picture_attention

    path, cell, row, title = attention_of(model, text, output)
    target, weights = row["target_tokens"], row["weights"]
    if "grid" in row:
        picture_attention.draw(weights, row["grid"], target, cell, path, title)
        for word, line, column, weight in picture_attention.best_regions(weights, row["grid"], target):
            click.echo(f"{attention_map.visible(word)}\t{line}\t{column}\t{weight:.3f}")
        click.echo(f"{path}: {title}", err=True)
        return
    source = row["source_tokens"]
    pairs = attention_map.hard_alignment(weights, source, target)
    missing = attention_map.draw(weights, source, target, path, title=title)
    click.echo(" ".join(f"{i}-{j}" for i, j in pairs))
    for i, j in pairs:
        names = attention_map.visible(source[i]), attention_map.visible(target[j])
        click.echo(f"{i}-{j}\t{names[0]}\t{names[1]}\t{weights[j][i]:.3f}")
    click.echo(f"{path}: {title}", err=True)
    if missing:
        codes = ", ".join(f"U+{ord(letter):04X}" for letter in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        click.echo(
            f"{path}: no installed font has {codes}{more}; they are drawn as boxes. Install a font, or write .svg or "
            ".html, which a browser renders with its own fonts",
            err=True,
        )


def attention_of(model: Path, text: str, output: Path) -> tuple[Path, Any, dict[str, Any], str]:
    """output, the cell that the model read, the attention of its answer without padding, and a title.

    Raises ModelError if the model has no attention.
    """
    from textpipe.commands.predict import parse_text
    from textpipe.errors import ConfigError, ModelError
    from textpipe.inference import cells
    from textpipe.report import attention_map
    from textpipe.savedmodel.loader import Model
    from textpipe.savedmodel.signatures import ATTENTION, find_giving

    if output.suffix.lower() not in attention_map.KINDS:
        raise ConfigError(f"--output {output}: expected a name that ends in .png, .svg or .html")
    loaded = Model.load(model)
    signature = find_giving(loaded.described.values(), ATTENTION)
    if signature is None:
        what = "a classifier" if loaded.about.get("labels") else "a model without the signature 'attention'"
        raise ModelError(
            f"{loaded.path}: is {what} and has no attention; give a model that generates text or reads stories"
        )
    (cell,) = cells.reader_of(loaded).read([parse_text(text, loaded.dtypes)])
    (row,) = loaded.predict([cell], signature=signature.name)
    if attention_map.has_no_attention(row["weights"]):
        raise ModelError(
            f'{loaded.path}: has no attention to draw (attention = "none"); train one with attention = "additive"'
        )
    # Answers are padded to the longest of the beam; padding has zero weights.
    length = max(number for number, weights in enumerate(row["weights"], 1) if any(weights))
    described = attention_map.describe_weights(loaded.about.get("model", {}))
    if loaded.about.get("ensemble"):
        described = f"mean over an ensemble; its first model: {described}"
    title = f"{loaded.name}: {described}"
    title = f"{title}: {row['answer']}" if "answer" in row else title
    truncated = {name: row[name][:length] for name in ("target_tokens", "weights")}
    return output, cell, {**row, **truncated}, title
