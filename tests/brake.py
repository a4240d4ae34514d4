"""A brake for the toy model, so that a test can act in the middle of a run, however fast or slow the machine is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from fashionflow import FashionFlowPipeline


LONGEST_SECONDS = 240  # that a run is held: a test that never lets go must not hang


class Brake:
    """Holds a pipeline before its next step, from `hold` to `release`."""

    def __init__(self, pipe: FashionFlowPipeline):
        self._changed = threading.Condition()
        self._when: Callable[[], object] | None = None
        self._after = 0
        self._hook = pipe.unet.register_forward_pre_hook(self._wait)

    def hold(self, after: int = 3, when: Callable[[], object] = lambda: True) -> None:
        """Lets as many steps pass as `after` says, counted from the first one at which `when` is true, and holds the next one."""
        with self._changed:
            self._when, self._after = when, after
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self._when = None
            self._changed.notify_all()

    def remove(self) -> None:
        self.release()
        self._hook.remove()

    def _wait(self, *_) -> None:
        with self._changed:
            if self._when is not None and self._when():
                self._after -= 1
            self._changed.wait_for(self._may_pass, timeout=LONGEST_SECONDS)

    def _may_pass(self) -> bool:
        return self._when is None or self._after >= 0 or not self._when()
