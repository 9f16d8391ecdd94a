"""Work that overlaps comes out in order, no more of it at a time than asked, and the end waits for it."""

import gc
import threading
import time

import pytest

from jaxneurons.disk import ahead

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
    with ahead.start_workers(at_once) as workers:
        finished = ahead.finish_together(str, range(5), workers, at_once)
        assert list(finished) == list("01234")


def test_as_many_as_asked_are_finished_at_a_time():
    # Only two threads at once pass it.
    both = threading.Barrier(2, timeout=WAIT_SECONDS)
    with ahead.start_workers(2) as workers:
        passed = ahead.finish_together(lambda _: both.wait(), range(4), workers, 2)
        assert len(list(passed)) == 4


def test_no_item_is_taken_before_there_is_room():
    taken = []

    def items():
        for item in range(5):
            taken.append(item)
            yield item

    with ahead.start_workers(2) as workers:
        finished = ahead.finish_together(str, items(), workers, 2)
        assert next(finished) == "0"
        assert taken == [0, 1]


def test_an_error_comes_at_its_place_and_the_end_waits_for_the_rest():
    failed = threading.Event()
    ended = threading.Event()

    def finish(item):
        if item == 0:
            failed.set()
            raise ValueError("the first")
        assert failed.wait(WAIT_SECONDS)
        time.sleep(0.05)
        ended.set()

    with (
        pytest.raises(ValueError, match="the first"),
        ahead.start_workers(2) as workers,
    ):
        list(ahead.finish_together(finish, range(2), workers, 2))
    assert ended.is_set()


def test_workers_have_begun_before_there_is_work(monkeypatch):
    with ahead.start_workers(3) as workers:
        monkeypatch.setattr(threading.Thread, "start", pytest.fail)
        assert list(ahead.finish_together(str, range(5), workers, 3)) == list("01234")


def test_an_interrupt_while_workers_begin_leaves_none(monkeypatch):
    start, begun = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        begun.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ahead.start_workers(2)
    gc.collect()
    for thread in begun:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
