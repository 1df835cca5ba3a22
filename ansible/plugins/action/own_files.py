"""Reads what lies on the control node for the module own_files, so that one call lays all files of a role."""

from __future__ import annotations

import base64
import os

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def of_folder(folder: str, to: str) -> list[dict]:
    """All files below a folder, with the mode that their executable bit asks for."""
    if not os.path.isdir(folder):
        raise AnsibleActionFail(f"{folder} is not a folder: racefetch_checkout is the folder of a clone")
    files = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                content = encoded(file.read())
            mode = "0755" if os.access(path, os.X_OK) else "0644"
            below = os.path.relpath(path, folder)
            files.append({"path": os.path.join(to, below), "base64": content, "mode": mode})
    return files


class ActionModule(ActionBase):
    """`folders` become files, and contents become what survives any encoding; the rest is the module's."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = []
        for folder in arguments.pop("folders", None) or []:
            files += of_folder(os.path.expanduser(folder["from"]), folder["to"])
        for file in arguments.pop("files", None) or []:
            if not boolean(file.get("when", True)):
                continue
            file = {name: value for name, value in file.items() if name != "when"}
            if "content" in file:
                file["base64"] = encoded(str(file.pop("content")).encode())
            files.append(file)
        arguments["files"] = files
        module = "racefetch.racefetch.own_files"
        result.update(self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
        return result
