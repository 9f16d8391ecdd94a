"""A study's arrays as an xarray Dataset.

In: a study. Out: a Dataset whose arrays are read when they are looked at, layer by layer, and
checked against the digests of study.json on the way: a plain `xarray.open_zarr` reads the same
numbers, but takes a lost chunk for one that was never written.
"""

import numpy as np
import xarray
from xarray import backends
from xarray.core import indexing

from jaxneurons.studies import coordinates
from jaxneurons.studies.array import StudyArray
from jaxneurons.studies.directory import Study


def open_dataset(study: Study) -> xarray.Dataset:
    """The arrays of a study, with a coordinate for every axis that has names or numbers."""
    variables = {
        name: xarray.Variable(
            entry.spec.dimensions,
            indexing.LazilyIndexedArray(_LazyArray(study.array(name))),
            entry.spec.attributes,
        )
        for name, entry in study.facts.arrays.items()
    }
    found = coordinates.find(study.identity)
    return xarray.Dataset(
        variables,
        coords={name: (name, values) for name, values in found.items()},
        attrs={"domains": [domain.name for domain in study.identity.corpus]},
    )


class _LazyArray(backends.BackendArray):
    """An array read when xarray needs a part of it: the layers in question, or the whole."""

    def __init__(self, array: StudyArray):
        self.array = array
        self.shape = array.entry.shape
        self.dtype = np.dtype(array.entry.spec.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        axis = self.array.entry.spec.layer_axis
        if axis is None:
            return self.array.read()[key]
        others = key[:axis] + key[axis + 1 :]
        layers = range(self.shape[axis])[key[axis]]
        if isinstance(layers, int):
            return self.array.read(layers)[others]
        found = np.empty(np.broadcast_to(0, self.shape)[key].shape, self.dtype)
        # Axes that the key gives one index of are gone.
        by_layer = np.moveaxis(found, sum(isinstance(k, slice) for k in key[:axis]), 0)
        for place, layer in enumerate(layers):
            by_layer[place] = self.array.read(layer)[others]
        return found
