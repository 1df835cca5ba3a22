#!/usr/bin/python
"""Runs a command once for each state of what it depends on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_for
short_description: Runs a command when what it depends on has changed since it last succeeded
description:
  - The command is run when it has not succeeded yet, has other arguments now, or O(racefetch.racefetch.own_files#module:outdates)
    has named it since.
  - A run that was broken off between a change and the command is made up for by the next one.
  - In check mode nothing is run, and it is told that it would be.
version_added: "1.0.0"
author: The racefetch authors (@racefetch)
options:
  name:
    description: The name of the record, below C(/var/lib/racefetch-ansible).
    type: str
    required: true
  state:
    description: Whether the command is run, or its record removed.
    type: str
    choices: [present, absent]
    default: present
  argv:
    description: The command and its arguments. They are part of what it depends on.
    type: list
    elements: str
    default: []
  outdated:
    description: Whether it is run in any case. In check mode nothing else tells that a file would be changed.
    type: bool
    default: false
  creates:
    description: A file that the command writes. When it is missing, the command is run.
    type: path
"""

EXAMPLES = r"""
- name: Set the mirror up
  racefetch.racefetch.run_for:
    name: mirror-setup
    argv: [/usr/share/racefetch/mirror/bin/racefetch-mirror-setup, --rank]
    outdated: "{{ files is changed }}"
    creates: /etc/racefetch/mirror/nginx.conf
"""

RETURN = r"""
said:
  description: What the command said.
  returned: when it was run
  type: str
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule

RECORDS = "/var/lib/racefetch-ansible"


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def remove(module, record):
    there = os.path.exists(record)
    if there and not module.check_mode:
        os.unlink(record)
        try:
            os.rmdir(RECORDS)
        except OSError:
            pass  # it has the records of other roles
    module.exit_json(changed=there)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "argv": {"type": "list", "elements": "str", "default": []},
            "outdated": {"type": "bool", "default": False},
            "creates": {"type": "path"},
        },
        required_if=[("state", "present", ["argv"])],
        supports_check_mode=True,
    )
    argv, creates = module.params["argv"], module.params["creates"]
    record = os.path.join(RECORDS, module.params["name"] + ".done")
    if module.params["state"] == "absent":
        remove(module, record)
    state = json.dumps(argv) + "\n"
    is_recent = read(record) == state and not module.params["outdated"]
    if is_recent and (creates is None or os.path.exists(creates)):
        module.exit_json(changed=False)
    command = " ".join(argv)
    if module.check_mode:
        module.exit_json(changed=True, diff={"prepared": f"would run: {command}\n"})
    status, out, err = module.run_command(argv)
    said = (out + err).strip()
    if status != 0:
        module.fail_json(msg=f"{command} ended with status {status}: {said}", rc=status, said=said)
    os.makedirs(RECORDS, exist_ok=True)
    with open(record + ".new", "w", encoding="utf-8") as file:
        file.write(state)
    os.rename(record + ".new", record)
    module.exit_json(changed=True, said=said, diff={"prepared": f"ran: {command}\n"})


if __name__ == "__main__":
    main()
