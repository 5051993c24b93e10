"""[answer]: settings of a model's answers, checked by the Config of the task's answers/ module if it has one."""

import inspect
from types import ModuleType
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError, ValidationInfo

from textpipe.config import plugins
from textpipe.config.sections import Section, describe_plugin_errors
from textpipe.errors import TextpipeError


def config_of(answers: ModuleType) -> Any:
    """The Config of an answers/ module if its `output` takes settings, else None: a module may import all of another's names."""
    takes = "settings" in inspect.signature(answers.output).parameters
    return getattr(answers, "Config", None) if takes else None


def check(value: Any, info: ValidationInfo) -> Section | None:
    """The checked table, or None for a task without such settings. Raises ValueError for invalid settings."""
    task = info.data.get("task")
    if task is None:  # refused already
        return None
    try:
        module = plugins.find("tasks", task)
        config = config_of(plugins.find("answers", module.ANSWER))
    except TextpipeError as error:
        raise ValueError(str(error)) from None
    if config is None:
        if value is not None:
            raise ValueError(f"task {task!r} has no such settings; leave [answer] out")
        return None
    if not isinstance(value, dict | None):
        raise ValueError(f"expected a table [answer], found {value!r}")
    try:
        section = config(**(value or {}))
    except ValidationError as error:
        raise ValueError(describe_plugin_errors(config, error)) from None
    section.check(module)
    return section


Answer = Annotated[SerializeAsAny[Section] | None, BeforeValidator(check)]
