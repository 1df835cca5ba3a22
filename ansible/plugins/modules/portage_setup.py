#!/usr/bin/python
"""Has Portage fetch with racefetch, by racefetch's own setup, or takes that back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portage_setup
short_description: Has Portage fetch with racefetch, or takes that back
description:
  - Runs C(racefetch setup), which changes make.conf, keeps a record of it and can undo it byte for byte.
  - In check mode it runs C(racefetch setup --dry-run); the difference is what that command shows.
version_added: "1.0.0"
author: The racefetch authors (@racefetch)
options:
  state:
    description: Whether Portage shall fetch with racefetch.
    type: str
    choices: [present, absent]
    default: present
  mirror:
    description: A mirror of the local network, which is asked before all others. It must answer.
    type: str
    default: ""
  timer:
    description: Whether what the next update needs is fetched every night.
    type: bool
    default: false
  rank:
    description: Whether public mirrors are ranked where nobody has chosen any.
    type: bool
    default: true
  force:
    description: With O(state=absent), whether files that were changed since are restored, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have Portage fetch with racefetch, from the mirror of the local network first
  racefetch.racefetch.portage_setup:
    mirror: http://mirror.lan:8080
"""

RETURN = r"""
said:
  description: What racefetch said.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

# The status of `racefetch setup --undo` when there is nothing to undo.
FAILED_INIT = 2
NOTHING = "nothing to undo"
FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def options(parameters):
    if parameters["state"] == "absent":
        return ["--undo"] + (["--force"] if parameters["force"] else [])
    chosen = ["--mirror", parameters["mirror"]] if parameters["mirror"] else []
    chosen += ["--timer"] if parameters["timer"] else []
    return chosen + ([] if parameters["rank"] else ["--no-rank"])


def difference(said):
    """What racefetch shows of files, without what it says besides."""
    lines = said.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(("---", "+++", "@@", " ", "+", "-", "New ")))


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mirror": {"type": "str", "default": ""},
            "timer": {"type": "bool", "default": False},
            "rank": {"type": "bool", "default": True},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    undoes = module.params["state"] == "absent"
    racefetch = module.get_bin_path("racefetch", opt_dirs=FOLDERS)
    if racefetch is None:
        if undoes:
            module.exit_json(changed=False, said="racefetch is not installed")
        if module.check_mode:
            said = "racefetch is not installed yet: what its setup would change is not known\n"
            module.exit_json(changed=True, said=said, diff={"prepared": said})
        module.fail_json(msg=f"racefetch is in none of {', '.join(FOLDERS)}: set program_binary or program_package")
    mode = "--dry-run" if module.check_mode else "--yes"
    status, out, err = module.run_command([racefetch, "setup", mode, *options(module.params)])
    said = out + err
    if undoes and status == FAILED_INIT and NOTHING in said:
        module.exit_json(changed=False, said=said)
    if status != 0:
        if module.check_mode and not undoes:
            # Before the first run, the mirror that is to be set up in it does not answer.
            module.warn(f"racefetch setup cannot say what it would do: {said.strip()}")
            module.exit_json(changed=True, said=said, diff={"prepared": said})
        module.fail_json(msg=said.strip(), rc=status, said=said)
    changed = undoes or "Nothing to do" not in out
    module.exit_json(changed=changed, said=said, diff={"prepared": difference(out)} if changed else {})


if __name__ == "__main__":
    main()
