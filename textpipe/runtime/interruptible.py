"""Calls of C code that Ctrl-C may end at once.

Python raises KeyboardInterrupt only between two of its own instructions, so a library that computes for minutes in C keeps Ctrl-C
waiting as long. Here the call runs in a thread of its own, and the calling thread waits for it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def call(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """function(*arguments, **options), or the exception that it raised.

    After KeyboardInterrupt the call goes on until it returns, without a result, and does not keep the process from ending.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(function(*arguments, **options))
        except BaseException as error:
            outcome.set_exception(error)

    # Not a thread of an executor: Python would wait for it before it exits.
    threading.Thread(target=work, daemon=True).start()
    return outcome.result()
