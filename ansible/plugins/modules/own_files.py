#!/usr/bin/python
"""Lays files that belong to a role, and takes away those that no longer do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: own_files
short_description: Lays all files of a role, and removes what it laid before and no longer lays
description:
  - Keeps a record on the machine of what was laid, below C(/var/lib/racefetch-ansible).
  - A file that was there before is kept beside it as C(NAME.before-racefetch), and comes back when the file goes.
  - A file that was there before with the same content is left alone, now and later.
  - Folders that had to be made are removed again when nothing is left in them.
version_added: "1.0.0"
author: The racefetch authors (@racefetch)
options:
  name:
    description: The name of the record, one for each role.
    type: str
    required: true
  files:
    description: What shall lie there. None at all takes away everything that the record has.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it lies on the machine.
        type: path
        required: true
      content:
        description: What it holds.
        type: str
      base64:
        description: What it holds, encoded; the plugin on the control node writes this.
        type: str
      copy_of:
        description: A file of the machine that holds the same; it may be one of those that are laid now.
        type: path
      link_to:
        description: Where it leads to, for a symbolic link. It may lead nowhere.
        type: str
      mode:
        description: Its mode.
        type: str
        default: "0644"
      owner:
        description: The user that it belongs to. Without one it belongs to root.
        type: str
      group:
        description: The group that it belongs to. Without one it is root's.
        type: str
      secret:
        description: Whether its content is left out of differences.
        type: bool
        default: false
      when:
        description: Whether it is laid at all.
        type: bool
        default: true
  remove:
    description: Files and folders that came to be by what was laid, and go with it.
    type: list
    elements: path
    default: []
  outdates:
    description: Names of M(racefetch.racefetch.run_for) whose commands have to be run again when a file changes.
    type: list
    elements: str
    default: []
  folders:
    description: Folders of the control node whose files are all laid.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: The folder of the control node.
        type: path
        required: true
      to:
        description: The folder of the machine.
        type: path
        required: true
"""

EXAMPLES = r"""
- name: Lay the timer
  racefetch.racefetch.own_files:
    name: client
    files:
      - path: /etc/cron.weekly/racefetch-rank
        content: "{{ lookup('ansible.builtin.template', 'rank.cron.j2') }}"
        mode: "0755"
"""

RETURN = r"""
paths:
  description: What was changed, or would be.
  returned: always
  type: list
  elements: str
"""

import base64
import grp
import json
import os
import pwd
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule

RECORDS = "/var/lib/racefetch-ansible"
BEFORE = ".before-racefetch"
# What a record says of a file.
NEW = "new"
REPLACED = "replaced"
FOREIGN = "foreign"


class Wanted:
    """A file as it shall be."""

    def __init__(self, file, content):
        self.path, self.content, self.secret = file["path"], content, file["secret"]
        self.link_to = file["link_to"]
        self.mode = int(file["mode"], 8)
        self.owner, self.group = file["owner"] or "root", file["group"] or "root"

    def owners(self):
        """The numbers; none for accounts that do not exist (yet, in check mode)."""
        try:
            return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None

    def is_there(self):
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self.link_to:
            return stat.S_ISLNK(found.st_mode) and os.readlink(self.path) == self.link_to
        return (
            stat.S_ISREG(found.st_mode)
            and stat.S_IMODE(found.st_mode) == self.mode
            and (found.st_uid, found.st_gid) == self.owners()
            and content_of(self.path) == self.content
        )

    def described(self):
        """For a difference: what a content alone does not tell is on a line above it."""
        if self.link_to:
            return leads(self.link_to)
        return header(self.mode, self.owner, self.group) + shown(self.content, self.secret)

    def write(self):
        if self.link_to:
            if os.path.lexists(self.path):
                os.unlink(self.path)
            os.symlink(self.link_to, self.path)
            return
        owners = self.owners()
        if owners is None:
            raise OSError(f"there is no user {self.owner}, or no group {self.group}")
        handle, draft = tempfile.mkstemp(dir=os.path.dirname(self.path), prefix=".racefetch-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.content)
            os.chown(draft, *owners)
            os.chmod(draft, self.mode)
            os.rename(draft, self.path)
        except BaseException:
            os.unlink(draft)
            raise


def content_of(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def header(mode, owner, group):
    return f"# mode {mode:04o}, {owner}:{group}\n"


def leads(target):
    return f"# a link to {target}\n"


def shown(content, secret):
    if secret:
        return "(not shown)\n"
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes, no text)\n"


def name_of(number, find):
    try:
        return find(number)[0]
    except KeyError:
        return str(number)


def described(path, secret):
    """What is there now, for a difference."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(found.st_mode):
        return leads(os.readlink(path))
    owner, group = name_of(found.st_uid, pwd.getpwuid), name_of(found.st_gid, grp.getgrgid)
    content = content_of(path) if stat.S_ISREG(found.st_mode) else b"(no regular file)\n"
    return header(stat.S_IMODE(found.st_mode), owner, group) + shown(content, secret)


def is_public(path):
    """Whether everybody may read it."""
    try:
        return os.lstat(path).st_mode & 0o004 != 0
    except (FileNotFoundError, NotADirectoryError):
        return True


class Record:
    """What was laid before, as a file of JSON."""

    def __init__(self, name):
        self.path = os.path.join(RECORDS, name + ".json")
        text = content_of(self.path)
        data = json.loads(text) if text else {}
        self.files, self.folders = data.get("files", {}), data.get("folders", [])

    def save(self):
        if not self.files:
            for path in (self.path, RECORDS):
                try:
                    (os.rmdir if path == RECORDS else os.unlink)(path)
                except OSError:
                    pass  # it is gone already, or has the records of other roles
            return
        os.makedirs(RECORDS, exist_ok=True)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump({"files": self.files, "folders": self.folders}, file, indent=1, sort_keys=True)
        os.rename(self.path + ".new", self.path)

    def make_folder(self, folder):
        if os.path.isdir(folder):
            return
        self.make_folder(os.path.dirname(folder))
        self.folders.append(folder)
        self.save()
        os.mkdir(folder, 0o755)
        os.chmod(folder, 0o755)

    def remove_empty_folders(self):
        left = []
        for folder in sorted(self.folders, key=len, reverse=True):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError:
                left.append(folder)
        # Who made what is left no longer matters once no file of the role is there.
        self.folders = left


def lay(wanted, record):
    known = record.files.get(wanted.path)
    if known is None:
        is_foreign = os.path.lexists(wanted.path)
        record.files[wanted.path] = REPLACED if is_foreign else NEW
        record.make_folder(os.path.dirname(wanted.path))
        record.save()
        if is_foreign:
            os.rename(wanted.path, wanted.path + BEFORE)
    elif known == FOREIGN:
        # It was there with this content, and is now to have another.
        record.files[wanted.path] = REPLACED
        record.save()
        if os.path.lexists(wanted.path):
            os.rename(wanted.path, wanted.path + BEFORE)
    record.make_folder(os.path.dirname(wanted.path))
    wanted.write()


def take_away(path, record):
    known = record.files[path]
    if known == REPLACED and os.path.lexists(path + BEFORE):
        os.rename(path + BEFORE, path)
    elif known != FOREIGN and os.path.lexists(path):
        os.unlink(path)
    del record.files[path]
    record.save()


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def outdate(names):
    """Before anything is changed: a run that is broken off is made up for by the next one."""
    for name in names:
        try:
            os.unlink(os.path.join(RECORDS, name + ".done"))
        except FileNotFoundError:
            pass


def read(files):
    """The files as they shall be. One that is a copy of a file that is not there yet is left out."""
    contents = {file["path"]: base64.b64decode(file["base64"]) for file in files if file["base64"] is not None}
    wanted = []
    for file in files:
        if file["copy_of"]:
            content = contents.get(file["copy_of"])
            content = content_of(file["copy_of"]) if content is None else content
            if content is None:
                raise FileNotFoundError(
                    f"{file['copy_of']} is not on this machine: install the package, or set racefetch_checkout"
                )
        else:
            content = contents.get(file["path"], (file["content"] or "").encode())
        wanted.append(Wanted(file, content))
    return wanted


def run(module):
    record = Record(module.params["name"])
    wanted = read(module.params["files"])
    names = {file.path for file in wanted}
    paths, differences = [], []
    recorded = dict(record.files)
    for file in wanted:
        if file.is_there():
            record.files.setdefault(file.path, FOREIGN)
            continue
        paths.append(file.path)
        differences.append(
            {
                "before_header": file.path,
                "after_header": file.path,
                "before": described(file.path, file.secret),
                "after": file.described(),
            }
        )
        if not module.check_mode:
            outdate(module.params["outdates"])
            lay(file, record)
    gone = [path for path in sorted(record.files) if path not in names]
    for path in gone:
        known = record.files[path]
        paths += [] if known == FOREIGN else [path]
        if known != FOREIGN and os.path.lexists(path):
            after = path + BEFORE
            differences.append(
                {
                    "before_header": path,
                    "after_header": path,
                    "before": described(path, not is_public(path)),
                    "after": described(after, not is_public(after)) if known == REPLACED else "",
                }
            )
        if not module.check_mode:
            outdate(module.params["outdates"])
            take_away(path, record)
    for path in module.params["remove"]:
        if os.path.lexists(path):
            paths.append(path)
            differences.append({"before_header": path, "after_header": path, "before": "(there)\n", "after": ""})
            if not module.check_mode:
                remove(path)
    if not module.check_mode and (paths or record.files != recorded):
        record.remove_empty_folders()
        record.save()
    module.exit_json(changed=bool(paths), paths=paths, diff=differences)


def main():
    file = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "base64": {"type": "str"},
        "copy_of": {"type": "path"},
        "link_to": {"type": "str"},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "secret": {"type": "bool", "default": False},
        "when": {"type": "bool", "default": True},
    }
    folder = {"from": {"type": "path", "required": True}, "to": {"type": "path", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "dict", "default": [], "options": file},
            "folders": {"type": "list", "elements": "dict", "default": [], "options": folder},
            "remove": {"type": "list", "elements": "path", "default": []},
            "outdates": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        run(module)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{error}")


if __name__ == "__main__":
    main()
