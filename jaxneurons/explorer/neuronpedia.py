"""A study as batches that Neuronpedia takes: a finished study in, a folder of JSON files out.

    OUT/README.md                        what the numbers are, and how to upload them
    OUT/{layer}-neurons/batch-{i}.json   the body of one upload: 128 neurons of a layer

Uploading is left to whoever has an account, a model and a source set there.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxneurons.disk import files
from jaxneurons.studies import vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.studies.neuron_reading import CONTEXT

# Neurons of one upload, at most.
BATCH = 128
# One source set: a source of it is a layer's neurons.
SOURCE_SET = "neurons"
_README = """\
# Neurons of {model} for Neuronpedia

Each `{{layer}}-{set}/batch-{{i}}.json` is the body of one upload. With the package `neuronpedia`, a key in
`NEURONPEDIA_API_KEY`, and a model `{model}` with a source set `{set}` of your own there:

    import json, pathlib
    from neuronpedia.requests import feature_request

    for path in pathlib.Path(".").glob("*-{set}/*.json"):
        batch = json.loads(path.read_text("utf-8"))
        feature_request.FeatureRequest().send_request("upload-batch", json=batch)

- `density` is the share of the study's {tokens:,} tokens on which the neuron is active.
- `topLogits` and `bottomLogits` are the tokens of the highest and of the lowest projections of its output row on the
  unembedding; null where the study did not look for them.
- `activations` are the windows in which it is highest, with up to {context} tokens on either side of the peak. A study
  keeps the value at the peak alone: **a 0 at any other token means that its value is unknown, not that the neuron
  is inactive there.**
"""


def write(study: Study, out: os.PathLike | str) -> None:
    """Writes the neurons of every layer that the study holds.

    The same bytes for the same study. For its memory, one layer is in hand at a time.

    Args:
        study: a finished one.
        out: a directory that does not exist or is empty; it appears when it is whole.

    Raises:
        OutputExistsError: out is taken.
        StudyError: an array of the study is missing or damaged.
        InputOutputError: the operating system refuses.
    """
    out = pathlib.Path(out)
    identity = study.identity
    model = identity.model.name
    readme = _README.format(
        model=model,
        set=SOURCE_SET,
        tokens=sum(domain.tokens for domain in identity.corpus),
        context=CONTEXT,
    )
    texts = _texts(study)
    with files.partial_directory(out, "an export") as partial:
        with files.translated("write", out):
            (partial / "README.md").write_text(readme, "utf-8")
        for layer in study.asked_layers:
            source = f"{layer}-{SOURCE_SET}"
            features = _features(study, layer, texts)
            with files.translated("write", out):
                (partial / source).mkdir()
            for i, first in enumerate(range(0, len(features), BATCH)):
                body = {
                    "modelId": model,
                    "source": source,
                    "features": features[first : first + BATCH],
                }
                text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
                with files.translated("write", out, len(text)):
                    path = partial / source / f"batch-{i}.json"
                    path.write_text(text, "utf-8")


def _texts(study: Study) -> np.ndarray:
    """object[V]: each id as a person reads it; without U+0000, which Neuronpedia's database cannot hold."""
    read_text = vocabulary.reader(study)
    ids = range(study.identity.model.config.vocab_size)
    return np.array([read_text([i]).replace("\0", r"\x00") for i in ids], object)


def _features(study: Study, layer: int, texts: np.ndarray) -> list[dict[str, Any]]:
    """All neurons of a layer, in order."""
    tokens = sum(domain.tokens for domain in study.identity.corpus)
    count = study.read_layer("activation_count", layer).sum(axis=0)
    columns = zip(
        (count / tokens).tolist(),
        _logits(study, "promoted", layer, texts),
        _logits(study, "suppressed", layer, texts),
        _activations(study, layer, texts),
        strict=True,
    )
    return [
        {
            "index": index,
            "density": density,
            "topLogits": top,
            "bottomLogits": bottom,
            "activations": activations,
            "explanations": [],
        }
        for index, (density, top, bottom, activations) in enumerate(columns)
    ]


def _logits(
    study: Study, end: str, layer: int, texts: np.ndarray
) -> Sequence[list[dict[str, Any]] | None]:
    """Of each neuron the tokens at one end of its projections."""
    if f"{end}_token" not in study.facts.arrays:
        return [None] * study.identity.model.config.ffn_dim
    tokens = study.read_layer(f"{end}_token", layer).tolist()
    values = study.read_layer(f"{end}_projection", layer).tolist()
    return [
        [
            {"token": texts[token], "value": value}
            for token, value in zip(*row, strict=True)
            if token >= 0
        ]
        for row in zip(tokens, values, strict=True)
    ]


def _activations(
    study: Study, layer: int, texts: np.ndarray
) -> Iterator[list[dict[str, Any]]]:
    """Of each neuron the windows in which it is highest, best first."""
    if not study.identity.settings.examples:
        yield from ([] for _ in range(study.identity.model.config.ffn_dim))
        return
    columns = [
        study.read_layer(f"example_{column}", layer).tolist()
        for column in ("value", "window", "position")
    ]
    tokens, lengths = study.read("tokens"), study.read("window_length")
    for row in zip(*columns, strict=True):
        found = []
        for value, window, peak in zip(*row, strict=True):
            if window < 0:
                break
            first = max(0, peak - CONTEXT)
            last = min(peak + CONTEXT + 1, int(lengths[window]))
            values = [0.0] * (last - first)
            values[peak - first] = value
            text = texts[tokens[window, first:last]].tolist()
            found.append({"tokens": text, "values": values})
        yield found
