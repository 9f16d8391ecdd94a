"""What a study works on, as one value: model, text, settings, resources and devices travel together."""

from collections.abc import Iterator
from typing import NamedTuple

from jax.sharding import Mesh

from jaxneurons.devices import Spread
from jaxneurons.run.resources import Resources
from jaxneurons.store.reading import Store
from jaxneurons.studies.settings import Settings
from jaxneurons.text.windows import Windows


class Job(NamedTuple):
    """All windows of a study, or those of one pass over the weights.

    Attributes:
        model: the layer store.
        windows: the text of the study.
        settings: what decides the numbers.
        resources: what may be used.
        mesh: the devices.
        first: the first window of the pass.
        stop: the window that the pass ends before.
    """

    model: Store
    windows: Windows
    settings: Settings
    resources: Resources
    mesh: Mesh
    first: int
    stop: int

    @property
    def text(self) -> Windows:
        """The windows of the pass."""
        return self.windows.part(self.first, self.stop)

    @property
    def spread(self) -> Spread:
        """How the windows of the pass lie on the devices."""
        per_batch = self.settings.windows_per_batch
        return Spread(self.stop - self.first, per_batch, self.mesh)

    @property
    def is_last(self) -> bool:
        """Whether a layer is done with this pass."""
        return self.stop == len(self.windows.tokens)

    @property
    def is_whole(self) -> bool:
        """Whether this pass is the only one."""
        return self.first == 0 and self.is_last

    def passes(self, done: int) -> Iterator["Job"]:
        """The passes over the windows from `done` on; each is whole batches, at least one."""
        number = len(self.windows.tokens)
        per_pass = number
        if self.resources.tokens_per_pass is not None:
            at_once = self.spread.windows_at_once
            batches = self.resources.tokens_per_pass // (at_once * self.settings.window)
            per_pass = at_once * max(1, batches)
        for first in range(done, number, per_pass):
            yield self._replace(first=first, stop=min(first + per_pass, number))


def make_job(
    model: Store,
    windows: Windows,
    settings: Settings,
    resources: Resources,
    mesh: Mesh,
) -> Job:
    """The job of all windows in one pass."""
    return Job(model, windows, settings, resources, mesh, 0, len(windows.tokens))
