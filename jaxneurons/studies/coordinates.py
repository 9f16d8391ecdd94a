"""Names and numbers along the axes of a study's arrays, so that xarray selects by them.

In: what a study is of. Out: a coordinate per axis, and each as an array in the zarr group, where a
plain `xarray.open_zarr` finds it. They are written with zarr since tensorstore knows no strings.
"""

import numpy as np
import zarr
from zarr import codecs

from jaxneurons.disk import files
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Identity
from jaxneurons.terms import ORDERS

ALL = "all"


def find(identity: Identity) -> dict[str, np.ndarray]:
    """The coordinate of each axis, by name; the last of `domain_or_all` is "all" domains together.

    Where a domain is called so itself, that is "all domains".
    """
    config = identity.model.config
    domains = [domain.name for domain in identity.corpus]
    together = ALL
    while together in domains:
        together += " domains"
    both = [*domains, together]
    return {
        "domain": np.array(domains, np.dtypes.StringDType()),
        "domain_or_all": np.array(both, np.dtypes.StringDType()),
        "layer": np.arange(config.num_hidden_layers),
        "neuron": np.arange(config.ffn_dim),
        "position": np.arange(identity.settings.window),
        "n": np.array(ORDERS),
    }


def write(study: Study) -> None:
    """Writes each into the study's zarr group."""
    with files.translated("write", study.arrays_path):
        group = zarr.open_group(study.arrays_path, mode="r+", zarr_format=3)
        for name, values in find(study.identity).items():
            group.create_array(
                name,
                data=values,
                chunks=values.shape,
                compressors=[codecs.Crc32cCodec()],
                dimension_names=[name],
            )
