"""Delays Ctrl-C to the end of a step, so that a checkpoint is always a state between two steps."""

import signal
import threading
from typing import Self


class Interrupts:
    """While open, the first Ctrl-C only sets `pending`; a second one raises KeyboardInterrupt at once.

    Has no effect outside the main thread, where Python delivers no signals.
    """

    def __init__(self):
        self.pending = False

    def __enter__(self) -> Self:
        self.previous = None
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGINT, self.handle)
        return self

    def __exit__(self, *_) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)

    def handle(self, number, frame) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True
