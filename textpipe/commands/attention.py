"""textpipe attention"""

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("attention.png"), show_default=True,
    help="The picture: .png, .svg or .html.",
)  # fmt: skip
def command(model: Path, text: str, output: Path) -> None:
    """Draw where each token of the answer to TEXT looked.

    Prints the hard alignment: first all pairs SOURCE-TARGET on one line (places from 0, as fast_align and Pharaoh write
    them), then a line a pair with its tokens and weight. A token that looked most at the end of the text has no pair.
    """
    from textpipe.report import attention_map

    path, source, target, weights, title = looked(model, text, output)
    found = attention_map.pairs(weights, source, target)
    missing = attention_map.draw(weights, source, target, path, title=title)
    click.echo(" ".join(f"{i}-{j}" for i, j in found))
    for i, j in found:
        names = attention_map.visible(source[i]), attention_map.visible(target[j])
        click.echo(f"{i}-{j}\t{names[0]}\t{names[1]}\t{weights[j][i]:.3f}")
    click.echo(f"{path}: {title}", err=True)
    if missing:
        codes = ", ".join(f"U+{ord(letter):04X}" for letter in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        click.echo(
            f"{path}: no installed font has {codes}{more}; boxes stand for them. Install a font, or write .svg or "
            ".html, which a browser shows in its own fonts",
            err=True,
        )


def looked(model: Path, text: str, output: Path) -> tuple[Path, list[str], list[str], list[list[float]], str]:
    """output, source tokens, target tokens, weights [U, T] and a title; raises ModelError when there are no weights."""
    from textpipe.errors import ConfigError, ModelError
    from textpipe.report import attention_map
    from textpipe.savedmodel.loader import Model
    from textpipe.savedmodel.signatures import ATTENTION, giving

    if output.suffix.lower() not in attention_map.KINDS:
        raise ConfigError(f"--output {output}: expected a name that ends in .png, .svg or .html")
    loaded = Model.load(model)
    looking = giving(loaded.described.values(), ATTENTION)
    if looking is None:
        what = "a classifier" if loaded.about.get("labels") else "a model without the signature 'attention'"
        raise ModelError(f"{loaded.path}: is {what} and looks at no token; give a model that writes text")
    (row,) = loaded.predict([text], signature=looking.name)
    if attention_map.nothing_seen(row["weights"]):
        raise ModelError(
            f'{loaded.path}: has no attention to draw (attention = "none"); train one with attention = "additive"'
        )
    # An answer shorter than others of the beam is padded, and padding looks nowhere.
    length = max(place for place, line in enumerate(row["weights"], 1) if any(line))
    described = attention_map.described(loaded.about.get("model", {}))
    if loaded.about.get("ensemble"):
        described = f"mean over the models of an ensemble; of its first, {described}"
    title = f"{loaded.name}: {described}"
    return output, row["source_tokens"], row["target_tokens"][:length], row["weights"][:length], title
