"""Any sequence of writing, killing, resuming, damaging, tearing and reading a study does what a small model says."""

import collections
import dataclasses
import pathlib
import tempfile

import hypothesis
import numpy as np
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from jaxneurons import errors
from jaxneurons.studies import opening
from tests.support import dying, small_study

LAYERED = [n for n, spec in small_study.SPECS.items() if "layer" in spec.dimensions]
ASKED = [0, 1]
names, layers = st.sampled_from(LAYERED), st.sampled_from([0, 1, 2])
steps: collections.Counter[str] = collections.Counter()


class StudyMachine(stateful.RuleBasedStateMachine):
    """A study on disk, and what must be true of it.

    Attributes:
        done: layers that study.json says are done.
        written: layers whose numbers study.json has a digest of.
        damaged: pairs of an array and a layer, or "zarr.json", that were changed on disk.
        complete: whether it was declared so.
    """

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / "study"
        small_study.create(self.path)
        self.done, self.written = set(), {2}
        self.damaged: set[tuple[str, int | str]] = set()
        self.complete = False

    def teardown(self):
        self.folder.cleanup()

    @stateful.rule(layer=st.sampled_from(ASKED))
    def write(self, layer):
        steps["write"] += 1
        if not self._resumable():
            return
        if any((name, "zarr.json") in self.damaged for name in LAYERED):
            with pytest.raises(errors.StudyError, match="is damaged"):
                _write(self.path, layer)
            self._repaired(layer)
            return
        _write(self.path, layer)
        self._repaired(layer)
        self.done.add(layer)
        self.written.add(layer)

    @stateful.rule(layer=st.sampled_from(ASKED), calls=st.integers(0, 2))
    def kill_while_writing(self, layer, calls):
        """A killed process may or may not have reached the point where the layer is done."""
        for name, part in list(self.damaged):
            if part == "zarr.json":
                self.damage_or_mend_metadata(name)
        if self.complete:
            return
        steps["kill"] += 1
        assert not dying.run(_write, self.path, layer, calls=calls)
        self._repaired(layer)
        now = set(opening.resume(self.path, small_study.IDENTITY).done_layers)
        assert self.done <= now <= self.done | {layer}
        # Renamed, it is done; the sync that follows can add nothing.
        assert layer in self.done or (layer in now) == (calls == 2)
        self.done = now
        self.written |= now

    @stateful.rule(layer=st.sampled_from(ASKED))
    def forget(self, layer):
        steps["forget"] += 1
        if self._resumable():
            opening.resume(self.path, small_study.IDENTITY).forget_layers([layer])
            self.done.discard(layer)

    @stateful.rule(name=names, layer=layers)
    def damage_or_mend_a_chunk(self, name, layer):
        axis = small_study.SPECS[name].dimensions.index("layer")
        for file in sorted((self.path / "arrays" / name).glob("c.*")):
            if int(file.name.split(".")[1 + axis]) == layer:
                self._damage_or_mend(file, name, layer)
                return

    @stateful.rule(name=names)
    def damage_or_mend_metadata(self, name):
        file = self.path / "arrays" / name / "zarr.json"
        self._damage_or_mend(file, name, file.name)

    @stateful.rule(end=st.integers(0, 10**6))
    def tear_study_json(self, end):
        steps["tear"] += 1
        file = self.path / "study.json"
        content = file.read_bytes()
        file.write_bytes(content[: end % len(content)])
        with pytest.raises(errors.StudyError, match=r"study\.json"):
            opening.resume(self.path, small_study.IDENTITY)
        file.write_bytes(content)

    @stateful.rule()
    def resume_with_something_else(self):
        steps["mismatch"] += 1
        other = dataclasses.replace(small_study.IDENTITY, special_tokens=(2,))
        wanted = errors.OutputExistsError if self.complete else errors.MismatchError
        with pytest.raises(wanted):
            opening.resume(self.path, other)

    @stateful.precondition(lambda self: self.done == set(ASKED))
    @stateful.rule(really=st.integers(0, 2))
    def finish(self, really):
        if really == 0 and self._resumable():
            steps["finish"] += 1
            study = opening.resume(self.path, small_study.IDENTITY)
            if any((name, "zarr.json") in self.damaged for name in LAYERED):
                with pytest.raises(errors.StudyError, match=r"zarr\.json"):
                    study.finish()
                return
            study.finish()
            self.complete = True

    @stateful.invariant()
    def study_json_is_as_the_model_says(self):
        study = opening.open_any(self.path)
        assert set(study.done_layers) == self.done
        assert study.facts.complete == self.complete

    @stateful.invariant()
    def all_is_read_or_refused(self):
        study = opening.open_any(self.path)
        for name in LAYERED:
            readable = [self._readable(name, layer) for layer in (0, 1, 2)]
            for layer in (0, 1, 2):
                wanted = small_study.expected_layer(name, layer)
                _check(readable[layer], wanted, study.read_layer, name, layer)
            _check(all(readable), small_study.expected(name), study.read, name)

    def _damage_or_mend(self, file, name, part):
        steps["damage"] += 1
        content = file.read_bytes()
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        self.damaged ^= {(name, part)}

    def _readable(self, name, layer):
        broken = {(name, layer), (name, "zarr.json")} & self.damaged
        return layer in self.written and not broken

    def _resumable(self):
        if self.complete:
            with pytest.raises(errors.OutputExistsError, match="nothing to resume"):
                opening.resume(self.path, small_study.IDENTITY)
        return not self.complete

    def _repaired(self, layer):
        """Arrays are written in order, up to the first whose metadata is damaged."""
        for name in LAYERED:
            if (name, "zarr.json") in self.damaged:
                return
            self.damaged.discard((name, layer))


def _check(readable, wanted, read, *arguments):
    """Reads what is wanted, or is refused where it is not readable."""
    if readable:
        np.testing.assert_array_equal(read(*arguments), wanted)
    else:
        with pytest.raises(errors.StudyError, match=f"arrays/{arguments[0]}"):
            read(*arguments)


def _write(path, layer):
    study = opening.resume(path, small_study.IDENTITY)
    small_study.write_layer(study, layer)
    if layer in study.done_layers:
        # Saves what was written again.
        study.save()
    else:
        study.finish_layer(small_study.done(layer), [])


@pytest.mark.fault(case=28)
def test_any_sequence_is_as_the_model_says(campaign):
    steps.clear()
    stateful.run_state_machine_as_test(
        StudyMachine,
        settings=hypothesis.settings(
            max_examples=20 if campaign else 3,
            stateful_step_count=200 if campaign else 30,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
    # A few steps need not have every rule among them.
    assert steps.total() and (not campaign or steps["kill"] and steps["damage"])
    print(f"case 28: {steps.total()} steps as the model says: {dict(steps)}")
