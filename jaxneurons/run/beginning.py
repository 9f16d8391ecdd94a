"""What a study begins with: its identity, empty arrays, the tokens and the tokenizer.

In: model, windows and settings. Out: a study directory whose layers are all still to run.
"""

import pathlib

import jax

from jaxneurons.command import versions
from jaxneurons.store import reading
from jaxneurons.studies import contents, coordinates, opening, vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Device, Domain, Identity, Model
from jaxneurons.studies.settings import Settings
from jaxneurons.text.corpus import Windows

# Packages whose version may change a bit of the result.
VERSIONED = ("jaxneurons", "jax", "jaxlib", "flax", "numpy")


def identify(
    model: reading.Store, model_name: str, windows: Windows, settings: Settings
) -> Identity:
    """What a resumed run must share with the run it continues."""
    device = jax.local_devices()[0]
    return Identity(
        model=Model(
            name=model_name,
            fingerprint=model.fingerprint,
            location=model.location,
            dtype=model.dtype,
            config=model.config,
            step=model.manifest["source"].get("step"),
        ),
        corpus=tuple(_describe(windows, index) for index in range(len(windows.names))),
        special_tokens=model.config.special_tokens,
        settings=settings,
        versions=versions.find(VERSIONED),
        device=Device(platform=device.platform, kind=device.device_kind),
    )


def _describe(windows: Windows, index: int) -> Domain:
    lengths = windows.lengths[windows.domains == index]
    read = windows.readings[index] if windows.readings else None
    return Domain(
        name=windows.names[index],
        index=index,
        fingerprint=windows.fingerprints[index],
        windows=len(lengths),
        full_windows=int((lengths == windows.tokens.shape[1]).sum()),
        tokens=int(lengths.sum()),
        documents=read and read.documents,
        bytes=read and read.bytes,
        left_out=tuple(part._asdict() for part in read.left_out) if read else (),
    )


def create(
    path: pathlib.Path,
    windows: Windows,
    tokenizer: bytes | None,
    identity: Identity,
) -> None:
    """Makes the study's directory, whole or not at all; raises as `opening.creating`.

    Args:
        path: the directory.
        windows: the text.
        tokenizer: the model's `tokenizer.json`, if it has one.
        identity: what is studied, how and with what.
    """
    with opening.creating(path, identity) as study:
        fill(study, windows, tokenizer)


def fill(study: Study, windows: Windows, tokenizer: bytes | None) -> None:
    """Writes what a new study holds before its first layer is done: the text, the tokenizer and empty arrays."""
    study.write_group()
    coordinates.write(study)
    _create_arrays(study, windows)
    study.write_array("tokens", windows.tokens)
    study.write_array("window_length", windows.lengths)
    study.write_array("window_domain", windows.domains)
    if tokenizer is not None:
        vocabulary.write(study, tokenizer)


def _create_arrays(study: Study, windows: Windows) -> None:
    """Makes the arrays of `contents.array_specs`, with nothing written in them."""
    sizes = {
        name: len(values) for name, values in coordinates.find(study.identity).items()
    }
    settings = study.identity.settings
    sizes |= {"window": len(windows.tokens), "example": settings.examples}
    most_windows = max(domain.full_windows for domain in study.identity.corpus)
    for name, spec in contents.array_specs(most_windows, settings.examples).items():
        shape = [sizes[dimension] for dimension in spec.dimensions]
        counted = settings.ngrams or name not in contents.NGRAM_ARRAYS
        study.create_array(name, shape, spec, counted)
