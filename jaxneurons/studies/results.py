"""A finished study, opened to work with: tables for pandas, arrays for xarray, what was studied.

In: the directory of a study. Out: `Results`. pandas and xarray take a second to import, so that is
done where a table or an array is asked for.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxneurons import errors
from jaxneurons.disk import places
from jaxneurons.disk.places import Folder, Place
from jaxneurons.studies import opening, summary, vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Device, Domain, Model
from jaxneurons.studies.settings import Settings
from jaxneurons.terms import ORDERS
from jaxneurons.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pandas
    import xarray

    from jaxneurons.studies.neuron import Neuron


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Results:
    """What a study found; made by `open_study`.

    Everything is read when it is asked for, and checked against the digests that the study was
    written with: what is missing or damaged raises StudyError.

    Attributes:
        path: the study's directory.
        model: the model that was studied.
        corpus: the domains of its text.
        special_tokens: ids that only windows put into text, ascending.
        settings: what else decides the numbers: window, layers, type.
        versions: version of each package that may change a bit, by name; None for one that runs from a checkout.
        device: what it was computed on.
    """

    path: Folder
    model: Model
    corpus: tuple[Domain, ...]
    special_tokens: tuple[int, ...]
    settings: Settings
    versions: Mapping[str, str | None]
    device: Device
    _study: Study

    def neurons(
        self, layer: int | None = None, sort: str | None = None
    ) -> "pandas.DataFrame":
        """One row per neuron of every layer that was asked for, or of one.

        Args:
            layer: None is all.
            sort: a column to sort by, with "-" before it the highest first; None is by layer and neuron.

        Columns:
            layer, neuron: its place in the model, from 0.
            activations: tokens on which it is active; frequency: their share of all tokens;
                frequency_<domain>: the same in one domain.
            dead: whether it is never active on this text; certified_dead, certified_active: whether
                it cannot be, or always is, on any text. A dead neuron of GELU still writes, and
                weights without any bias certify none (`Config.can_certify`).
            coverage_<n>: how many distinct n-grams account for 95 % of its activations on n-grams;
                0 where it has none.
            detector_<n>: how many n-grams trigger it, as an n-gram detector; 0 where it is none.
            mean_trigger_projection: of a token detector's output row onto its triggers' rows of the
                unembedding; NaN for all others.
            mutual_information: of activation and position, nats, over all domains.
            positional_type, positional_strength: of its pattern; "none" where it is not positional.
            domain_entropy: how evenly it fires over the domains, nats: 0 in one domain alone, the
                logarithm of their number where it does not care; NaN where there is one domain.
            specific: to how many domains it is specific; specific_<domain>: whether to this one.

        Where no n-grams were counted, coverage and detector are -1.

        Raises:
            UsageError: the study holds no such layer, or there is no such column.

        Example:
            >>> result = jaxneurons.open_study("studies/demo")
            >>> neurons = result.neurons()
            >>> len(neurons)
            4096
            >>> dead_by_layer = neurons.groupby("layer")["dead"].mean()
            >>> strongest = result.neurons(layer=2, sort="-mutual_information").head(10)
        """
        from jaxneurons.studies import tables

        return tables.neurons(self._study, layer, sort)

    def neuron(self, layer: int, index: int) -> "Neuron":
        """One neuron: when it fires, on what, what it writes, and the text around its peaks.

        It shows itself as text in a terminal and as HTML in a notebook.

        Args:
            layer: in the model, from 0.
            index: in the layer, from 0.

        Raises:
            UsageError: the model has no such neuron, or the study holds nothing of its layer.

        Example:
            >>> neuron = jaxneurons.open_study("studies/demo").neuron(2, 3)
            >>> neuron.frequency < 1
            True
            >>> highest = neuron.examples[0]
            >>> [token.text for token in neuron.promoted][1:3]
            ['.', 'ur']
        """
        from jaxneurons.studies import neuron_reading

        return neuron_reading.read(self._study, layer, index)

    def detectors(self, n: int) -> "pandas.DataFrame":
        """One row per n-gram detector, n = 1, 2 or 3.

        Columns are the keys of `detectors_{n}.jsonl`: layer, neuron, coverage, triggers, and for
        n = 1 also promoted, suppressed and mean_projection, where the model was at hand.

        Raises:
            UsageError: n is another number, or the study counted no n-grams.

        Example:
            >>> detectors = jaxneurons.open_study("studies/demo").detectors(2)
            >>> list(detectors.columns)
            ['layer', 'neuron', 'coverage', 'triggers']
        """
        from jaxneurons.studies import tables

        if n not in ORDERS:
            raise errors.UsageError(f"n is {n!r}. Detectors are of n = 1, 2 or 3.")
        return tables.detectors(self._study, n)

    def detectors_of(
        self, token: str, layer: int | None = None, sort: str | None = None
    ) -> "pandas.DataFrame":
        """One row per token detector that a token triggers.

        Columns are layer, neuron and coverage of the detector, triggers, the number of all its triggers,
        the activations and occurrences of this one, and mean_projection, of its output on all of them.

        Args:
            token: as a person reads it, such as " the" with its space, or as the vocabulary spells it.
            layer: of the detectors; None is all.
            sort: as for `neurons`.

        Raises:
            UsageError: it is no token of the model, the study counted no n-grams or holds no such layer,
                or there is no such column.

        Example:
            >>> len(jaxneurons.open_study("studies/demo").detectors_of(" the"))
            0
        """
        from jaxneurons.studies import tables

        return tables.detectors_of(self._study, token, layer, sort)

    def positional(self) -> "pandas.DataFrame":
        """One row per positional neuron; the columns are the keys of `positional.jsonl`.

        Example:
            >>> positional = jaxneurons.open_study("studies/demo").positional()
            >>> counts = positional.groupby(["type", "strength"]).size()
        """
        from jaxneurons.studies import tables

        return tables.positional(self._study)

    @functools.cached_property
    def arrays(self) -> "xarray.Dataset":
        """All arrays, with coordinates; numbers are read when they are looked at.

        A layer that was not asked for holds -1, 0 where integers have no sign, NaN for floats.

        Example:
            >>> arrays = jaxneurons.open_study("studies/demo").arrays
            >>> arrays["activation_count"].sel(domain="wikipedia", layer=2).shape
            (1024,)
        """
        from jaxneurons.studies import dataset

        return dataset.open_dataset(self._study)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turns ids into text; None where the model has none.

        Example:
            >>> result = jaxneurons.open_study("studies/demo")
            >>> first_window = result.arrays["tokens"][0].values
            >>> text = "".join(map(result.tokenizer.decode_token, first_window))
        """
        return vocabulary.read_tokenizer(self._study)

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says: the numbers behind every figure.

        Example:
            >>> summary = jaxneurons.open_study("studies/demo").summary
            >>> summary["model"]
            {'layers': 4, 'name': 'opt-1.9m', 'neurons': 1024}
        """
        return summary.read(self.path)

    def __repr__(self) -> str:
        config, settings = self.model.config, self.settings
        tokens = ", ".join(f"{each.name} {each.tokens:,}" for each in self.corpus)
        ngrams = "with" if settings.ngrams else "without"
        return (
            f"Study of {self.model.name} in {self.path}\n"
            f"  layers  {settings.first_layer} to {settings.last_layer} of "
            f"{config.num_hidden_layers}, {config.ffn_dim:,} neurons each\n"
            f"  tokens  {tokens}; in windows of {settings.window:,}\n"
            f"  run     {settings.arithmetic} on {self.device.kind}, {ngrams} n-grams"
        )


def open_study(path: os.PathLike | str | Place) -> Results:
    """Opens a finished study.

    Args:
        path: the directory that `jaxneurons.study` or `scripts/study.py` wrote, or its address,
            gs://BUCKET/PATH or s3://BUCKET/PATH.

    Raises:
        StudyError: there is no study, or it is not finished, or damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.

    Example:
        >>> result = jaxneurons.open_study("studies/demo")
        >>> result.model.name
        'opt-1.9m'
        >>> [domain.name for domain in result.corpus]
        ['code_python', 'dm_mathematics', 'freelaw', 'wikipedia']
    """
    study = opening.open_finished(places.parse(path))
    return Results(path=study.path, _study=study, **vars(study.identity))
