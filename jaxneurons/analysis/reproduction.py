"""Studies in, the paper's numbers beside ours out: a table as JSON, Markdown and a figure."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.analysis import claims
from jaxneurons.disk import files, strict_json
from jaxneurons.disk.places import Folder
from jaxneurons.studies import results
from jaxneurons.studies.results import Results

AGREES, DIFFERS, NOT_STUDIED = "agrees", "differs", "not studied"
NAME = "reproduction"
MODELS = (*claims.SIZES, *claims.TRAINED)


class Verdict(NamedTuple):
    """A claim, our values by model, and what comes of them: AGREES, DIFFERS or NOT_STUDIED."""

    claim: claims.Claim
    values: dict[str, float]
    verdict: str

    def shown(self) -> dict[str, str]:
        """The values as people read them."""
        return {
            model: f"{100 * value:.3g} %" if self.claim.is_share else _number(value)
            for model, value in self.values.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON."""
        claim = self.claim
        return {
            "section": claim.section,
            "claim": claim.text,
            "models": list(claim.models),
            "paper": claim.rule.paper,
            "margin": claim.rule.margin,
            "ours": self.values,
            "not_studied": [m for m in claim.models if m not in self.values],
            "verdict": self.verdict,
        }


def open_studies(
    named: Sequence[tuple[str, Folder]],
) -> dict[str, Results]:
    """Finished studies by model of the paper.

    Args:
        named: name and directory of each; without a name, that of its model says which it is.

    Raises:
        UsageError: a name is none of MODELS, two are the same, or a study has some layers only.
        StudyError: there is no finished study.
    """
    found: dict[str, Results] = {}
    for name, path in named:
        study = results.open_study(path)
        model = _model_of(name, study)
        if model is None:
            raise errors.UsageError(
                f"{path} is a study of {name or study.model.name}, which is no model of the paper. Name"
                f" it as NAME={path}, NAME one of {', '.join(MODELS)}."
            )
        if model in found:
            raise errors.UsageError(f"two studies are of {model}. Leave out {path}.")
        layers = len(study.settings.layers)
        if layers != study.model.config.num_hidden_layers:
            raise errors.UsageError(
                f"{path} has {layers} of the model's layers. Study all of them."
            )
        found[model] = study
    return found


def compare(studies: Mapping[str, Results]) -> list[Verdict]:
    """The claims in the order of the paper, each with our values."""
    return [_judge(claim, studies) for claim in claims.CLAIMS]


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """A table with a row per claim, and how many agree."""
    lines = [
        "| section | claim | paper | ours | margin | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in verdicts:
        ours = ", ".join(f"{model}: {value}" for model, value in one.shown().items())
        rule = one.claim.rule
        whom = "" if len(one.claim.models) > 1 else f" ({one.claim.models[0]})"
        cells = (one.claim.section, one.claim.text + whom, rule.paper, ours or "–")
        lines.append(f"| {' | '.join(cells)} | {rule.margin} | {one.verdict} |")
    return "\n".join([*lines, "", summary_line(verdicts), ""])


def summary_line(verdicts: Sequence[Verdict]) -> str:
    """How many claims agree."""
    counts = [
        sum(one.verdict == kind for one in verdicts)
        for kind in (AGREES, DIFFERS, NOT_STUDIED)
    ]
    return (
        f"Of {len(verdicts)} claims {counts[0]} agree within their margins, {counts[1]} differ, and"
        f" {counts[2]} are not studied. Margins are ours; models that a claim is about and that are not listed"
        " are not studied."
    )


def save(verdicts: Sequence[Verdict], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the table as JSON and Markdown and a figure into a new directory; gives the files.

    Raises:
        OutputExistsError: the directory is not empty.
    """
    from jaxneurons.figures import claims as drawing
    from jaxneurons.figures import style

    rows = [
        (
            f"{one.claim.section}: {one.claim.text}",
            one.claim.rule.paper,
            one.shown(),
            one.verdict,
        )
        for one in verdicts
    ]
    figure = drawing.plot(rows, MODELS)
    contents = {
        "json": strict_json.to_bytes([one.to_json() for one in verdicts]),
        "md": to_markdown(verdicts).encode(),
        **{suffix: style.render(figure, suffix) for suffix in ("png", "svg")},
    }
    with files.partial_directory(folder, "a reproduction") as partial:
        for suffix, content in contents.items():
            files.write_atomically(partial / f"{NAME}.{suffix}", content)
    return [folder / f"{NAME}.{suffix}" for suffix in contents]


def _judge(claim: claims.Claim, studies: Mapping[str, Results]) -> Verdict:
    values = {}
    for model in claim.models:
        value = claim.value(studies[model]) if model in studies else None
        if value is not None:
            values[model] = value
    if len(values) < claim.rule.least or claim.rule.needs - values.keys():
        return Verdict(claim, values, NOT_STUDIED)
    return Verdict(claim, values, AGREES if claim.rule.agrees(values) else DIFFERS)


def _model_of(name: str, study: Results) -> str | None:
    """Which of MODELS a study is of, by the name given to it or that of its model."""
    given = name or study.model.name
    if given in MODELS:
        return given
    if not name and study.model.config.positions == "none":
        return "no positions"
    sizes = [
        s for s in claims.SIZES if re.search(rf"(?<![\d.]){s}(?!\w)", given.lower())
    ]
    return sizes[0] if len(sizes) == 1 else None


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
