"""What a study works on, as one value: model, text, settings, resources and devices travel together."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from jax.sharding import Mesh

from jaxneurons import errors
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
        offset: the place of the study's first window in the text that it has a part of.
    """

    model: Store
    windows: Windows
    settings: Settings
    resources: Resources
    mesh: Mesh
    first: int
    stop: int
    offset: int = 0

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
    """The job of all windows, or of the part of them that the settings name, in one pass.

    Raises:
        UsageError: the part is none, or has no windows.
    """
    offset = 0
    if settings.part is not None:
        share = part_of(len(windows.tokens), settings)
        windows = windows.part(share.start, share.stop).of_domains_present()
        offset = share.start
    number = len(windows.tokens)
    return Job(model, windows, settings, resources, mesh, 0, number, offset)


def part_of(windows: int, settings: Settings) -> range:
    """The windows of the settings' part: whole batches, as equal as that allows; raises as `make_job`."""
    match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", settings.part or "")
    index, number = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= number:
        raise errors.UsageError(
            f"part is {settings.part!r:.40}. Pass I/N with I from 1 to N, such as 2/4."
        )
    size = settings.windows_per_batch
    batches = -(-windows // size)
    if number > batches:
        raise errors.UsageError(
            f"part is {settings.part}, but the text is {batches} batches of {size} windows. Choose fewer parts."
        )
    first, stop = (size * (batches * place // number) for place in (index - 1, index))
    return range(first, min(stop, windows))
