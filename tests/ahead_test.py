"""Work that overlaps comes out in order, no more of it at a time than asked, and none is under way after the end."""

import threading

import pytest

from jaxneurons import ahead

WAIT_SECONDS = 30


def test_what_was_loaded_comes_in_order():
    found = [(item, loaded) for item, loaded, _ in ahead.load_ahead(str, range(5))]
    assert found == [(item, str(item)) for item in range(5)]


def test_the_next_item_is_loaded_meanwhile():
    loaded = [threading.Event(), threading.Event(), threading.Event()]
    for item, _, _ in ahead.load_ahead(lambda item: loaded[item].set(), range(3)):
        if item < 2:
            assert loaded[item + 1].wait(WAIT_SECONDS)
        if item == 0:
            assert not loaded[2].is_set()


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_what_was_finished_comes_in_order(at_once):
    assert list(ahead.finish_together(str, range(5), at_once)) == list("01234")


def test_as_many_as_asked_are_finished_at_a_time():
    # Only two threads at once pass it.
    both = threading.Barrier(2, timeout=WAIT_SECONDS)
    assert len(list(ahead.finish_together(lambda _: both.wait(), range(4), 2))) == 4


def test_no_item_is_taken_before_there_is_room():
    taken = []

    def items():
        for item in range(5):
            taken.append(item)
            yield item

    finished = ahead.finish_together(str, items(), 2)
    assert next(finished) == "0"
    assert taken == [0, 1]
    finished.close()


def test_an_error_comes_at_its_place_and_when_all_is_still():
    ended = threading.Event()
    failed = threading.Event()

    def finish(item):
        if item == 0:
            failed.set()
            raise ValueError("the first")
        assert failed.wait(WAIT_SECONDS)
        ended.set()

    with pytest.raises(ValueError, match="the first"):
        list(ahead.finish_together(finish, range(2), 2))
    assert ended.is_set()


def test_closing_waits_for_what_is_under_way():
    goes_on = threading.Event()
    ended = []

    def finish(item):
        if item > 0:
            assert goes_on.wait(WAIT_SECONDS)
        ended.append(item)

    finished = ahead.finish_together(finish, range(9), 2)
    next(finished)
    threading.Timer(0.05, goes_on.set).start()
    finished.close()
    assert ended == [0, 1]
