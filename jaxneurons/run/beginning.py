"""What a study begins with: its identity, empty arrays, the tokens and the vocabulary.

In: model, windows and settings. Out: a study directory whose layers are all still to run.
"""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jaxneurons.config import Config
from jaxneurons.run.settings import Settings
from jaxneurons.store import reading
from jaxneurons.studies import contents, study
from jaxneurons.text import corpus
from jaxneurons.text.corpus import Windows

# Packages whose version may change a bit of the result.
VERSIONED = ("jaxneurons", "jax", "jaxlib", "flax", "numpy")


def identify(
    model: reading.Store, model_name: str, windows: Windows, settings: Settings
) -> dict[str, Any]:
    """What a resumed run must share with the run it continues, as study.json records it."""
    device = jax.local_devices()[0]
    return {
        "model": {
            "name": model_name,
            "fingerprint": model.fingerprint,
            "location": model.location,
            "dtype": model.dtype,
            "config": model.config.to_json(),
        },
        "corpus": {
            name: {
                "index": index,
                "fingerprint": windows.fingerprints[index],
                "windows": int((windows.domains == index).sum()),
                "full_windows": _full_windows(windows, index),
                "tokens": int(windows.lengths[windows.domains == index].sum()),
            }
            for index, name in enumerate(windows.names)
        },
        "special_tokens": list(model.config.special_tokens),
        "settings": dataclasses.asdict(settings),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "device": {"platform": device.platform, "kind": device.device_kind},
    }


def _full_windows(windows: Windows, domain: int) -> int:
    """Windows of a domain that hold T tokens."""
    lengths = windows.lengths[windows.domains == domain]
    return int((lengths == windows.tokens.shape[1]).sum())


def _most_windows(identity: Mapping[str, Any]) -> int:
    """Full windows of the domain that has most."""
    return max(domain["full_windows"] for domain in identity["corpus"].values())


def create(
    path: pathlib.Path,
    config: Config,
    windows: Windows,
    tokenizer: corpus.Tokenizer | None,
    identity: Mapping[str, Any],
    settings: Settings,
) -> None:
    """Makes the study's directory, whole or not at all; raises as `study.creating`."""
    asked = range(settings.first_layer, settings.last_layer + 1)
    sizes = {
        "window": len(windows.tokens),
        "position": windows.tokens.shape[1],
        "domain": len(windows.names),
        "domain_or_all": len(windows.names) + 1,
        "n": len(contents.ORDERS),
        "layer": config.num_hidden_layers,
        "neuron": config.ffn_dim,
    }
    others = sorted(set(range(config.num_hidden_layers)) - set(asked))
    with study.creating(path, identity, asked, others) as record:
        record.write_group({"domains": list(windows.names)})
        specs = contents.array_specs(_most_windows(identity))
        for name, spec in specs.items():
            shape = [sizes[dimension] for dimension in spec.dimensions]
            asked_for = settings.ngrams or name not in contents.NGRAM_ARRAYS
            record.create_array(name, shape, spec, asked_for)
        record.write_array("tokens", windows.tokens)
        record.write_array("window_length", windows.lengths)
        record.write_array("window_domain", windows.domains)
        _write_vocabulary(record, config, windows, tokenizer)


def _write_vocabulary(
    record: study.Study,
    config: Config,
    windows: Windows,
    tokenizer: corpus.Tokenizer | None,
) -> None:
    """Ids mean something if the tokenizer has them; without one, if the text or a lower id does."""
    ids = range(config.vocab_size)
    named = tokenizer.vocabulary if tokenizer else {}
    pieces = [named.get(token, f"<id {token}>") for token in ids]
    real = max([*named, int(windows.tokens.max())]) + 1
    contents.write_vocabulary(record, pieces, real)
