"""Prefetching: an iterator makes its next items on another thread while the consumer works on the earlier ones."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar


Item = TypeVar("Item")
POLL_SECONDS = 0.1  # how soon a worker notices that no more items are wanted


def prefetch(items: Iterator[Item], most: int) -> Iterator[Item]:
    """Yields the items in their order, and makes up to `most` of them in advance on another thread.

    The thread starts when the first item is requested. An error on the thread is raised here, after the items that were made before it.
    When this iterator is closed or deleted, the thread ends after its current item.

    Args:
        items: makes the items; from now on only the other thread uses it, and closes it at the end if it can be closed.
        most: the maximum number of items that wait, at least 1.
    """
    made: queue.Queue = queue.Queue(most)
    unwanted = threading.Event()

    def put(*entry) -> bool:
        while not unwanted.is_set():
            try:
                made.put(entry, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                pass
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item, None, False):
                    return
            put(None, None, True)
        except BaseException as error:
            put(None, error, True)
        finally:
            if hasattr(items, "close"):
                items.close()

    worker = threading.Thread(target=work, daemon=True, name="prefetch")
    worker.start()
    try:
        while True:
            item, error, is_last = made.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield item
            del item  # one or more frames, which would otherwise stay in memory until the next item comes
    finally:
        unwanted.set()
        worker.join()
