"""The command that runs a module in a process of its own."""

import os
import sys


def module_command(name: str) -> list[str]:
    """`python -m name`, with the working folder on its import path only if this process has it there.

    Otherwise a file of the user, such as random.py or cv2.py, would hide a module of that name.
    """
    has_folder = os.path.abspath(sys.path[0]) == os.getcwd() if sys.path else False
    return [sys.executable, *([] if has_folder else ["-P"]), "-m", name]
