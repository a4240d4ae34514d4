"""Work ahead: what an iterator makes is made on a thread of its own while its consumer is busy with what came before."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar


Item = TypeVar("Item")
LOOK_SECONDS = 0.1  # how soon a worker notices that nobody wants more


def ahead(items: Iterator[Item], most: int) -> Iterator[Item]:
    """The items, in their order, made up to `most` of them ahead on another thread.

    The thread starts with the first item asked for. What goes wrong there is raised here, after the items that were made before
    it; and once this iterator is closed or forgotten, the thread ends with the item at work.

    Args:
        items: makes the items; only the other thread touches it from now on, and closes it at the end if it can be closed.
        most: items that may wait, at least 1.
    """
    made: queue.Queue = queue.Queue(most)
    unwanted = threading.Event()

    def put(*entry) -> bool:
        while not unwanted.is_set():
            try:
                made.put(entry, timeout=LOOK_SECONDS)
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

    worker = threading.Thread(target=work, daemon=True, name="ahead")
    worker.start()
    try:
        while True:
            item, error, is_last = made.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield item
            del item  # a frame, or several, which would otherwise be held until the next one comes
    finally:
        unwanted.set()
        worker.join()
