"""Loading ahead: in order, one item ahead and no more, and an error in its place."""

import threading

import pytest

from jaxneurons.disk import ahead
from tests.support import cases

WAIT_SECONDS = 30


@cases.each("number", [0, 1, 5])
def test_what_was_loaded_comes_in_order(number):
    loaded = [found[:2] for found in ahead.load_ahead(str, range(number))]
    assert loaded == [(item, str(item)) for item in range(number)]


def test_the_next_item_is_loaded_meanwhile():
    loaded = [threading.Event(), threading.Event(), threading.Event()]
    for item, _, _ in ahead.load_ahead(lambda item: loaded[item].set(), range(3)):
        if item < 2:
            assert loaded[item + 1].wait(WAIT_SECONDS)
        if item == 0:
            assert not loaded[2].is_set()


def test_an_error_comes_at_its_place():
    def load(item):
        return 1 // (2 - item)

    loaded = ahead.load_ahead(load, range(4))
    assert [next(loaded)[0], next(loaded)[0]] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(loaded)


def test_what_is_given_up_may_be_closed_by_the_thread_that_loads():
    given_up, closed = threading.Event(), threading.Event()

    def load(item):
        if item:
            given_up.wait(WAIT_SECONDS)
            # As garbage collection would.
            loading.close()
            closed.set()

    loading = ahead.load_ahead(load, range(2))
    next(loading)
    given_up.set()
    assert closed.wait(WAIT_SECONDS)
