#!/usr/bin/env python3
"""The map of the tree, held against the #include lines: dependencies point one way, and each outside
library has one home. docs/architecture.md, "Modules", shows the same table to people."""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()

# folder -> folders of ours it may include from
MAY_INCLUDE = {
    "lib/base": {"lib/base"},
    "lib/scan": {"lib/scan", "lib/base"},
    "lib/derivation": {"lib/derivation", "lib/base"},
    "lib/wire": {"lib/wire", "lib/base"},
    "lib/tree": {"lib/tree", "lib/base"},
    "hatchd": {"hatchd", "lib/base", "lib/derivation", "lib/scan", "lib/wire", "lib/tree"},
    "hatch-client": {"hatch-client", "lib/base", "lib/scan", "lib/wire", "lib/tree"},
    "hatch-pre-build-hook": {"hatch-pre-build-hook", "lib/base", "lib/derivation"},
    "hatchctl": {"hatchctl", "lib/base"},
}

# Of hatchd, the administrator's tool may see only how configuration is read, requests are judged, and who runs.
HATCHCTL_OF_HATCHD = {"config/", "request/"}
HATCHCTL_HEADERS_OF_HATCHD = {"hatchd/slot/list.h", "hatchd/slot/claim.h", "hatchd/slot/build-user.h", "hatchd/slot/control.h",
                              "hatchd/sandbox/sandbox.h", "hatchd/sandbox/rlimits.h", "hatchd/slot/quota.h", "hatchd/unit.h"}

# And the hook: how a configuration is read, and how a derivation is read by a process without rights.
HOOK_HEADERS_OF_HATCHD = {"hatchd/config/exposure.h", "hatchd/request/features.h"}

# header prefix -> the only files that may include it
HOMES = {
    "nettle/": {"lib/base/digest.h", "lib/base/digest.c", "lib/base/encoding.c"},
    "jansson.h": {"lib/wire/json.h", "lib/derivation/json.c", "hatchd/config/document.c"},
    "archive": {"lib/tree/pack.c", "lib/tree/unpack.c"},
    "systemd/": {"hatchd/main.c", "hatchd/monitor/receipt.c", "hatchd/check.c", "hatchd/unit.c", "hatchctl/journal.c"},
    "seccomp.h": {"hatchd/sandbox/filter.c", "hatchd/sandbox/filter-builder.c"},
    "cjson/": {"hatchctl/json.c"},
}

# Headers that only their own folder may include: they show an outside library's types.
PRIVATE = {"lib/wire/json.h", "lib/wire/member.h"}

# Headers that the build makes.
MADE = {"build-config.h", "hatchd/filter-programs.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def folder_of(path):
    """The row of MAY_INCLUDE that a file of ours belongs to."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "lib" else parts[0]


def sources():
    for top in ("lib", "hatchd", "hatch-client", "hatch-pre-build-hook", "hatchctl"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            if not path.name.startswith("test-") and not path.name.endswith(("-test.c", "-fuzz.c")):
                yield path


def resolve(path, name):
    """The file of ours that #include "name" means, as the compiler looks for it."""
    for base in (path.parent, ROOT):
        found = (base / name).resolve()
        if found.is_file():
            return found
    return None


def check_own(path, name):
    target = resolve(path, name)
    if target is None:
        return None if name in MADE else f'includes "{name}", which is not there'
    source_folder, target_folder = folder_of(path), folder_of(target)
    if str(target.relative_to(ROOT)) in PRIVATE and source_folder != target_folder:
        return f"includes {target.relative_to(ROOT)}, which is {target_folder}'s own"
    if target_folder in MAY_INCLUDE[source_folder]:
        return None
    if source_folder == "hatchctl" and target_folder == "hatchd" and target.parent.name + "/" in HATCHCTL_OF_HATCHD:
        return None
    if source_folder == "hatchctl" and str(target.relative_to(ROOT)) in HATCHCTL_HEADERS_OF_HATCHD:
        return None
    if source_folder == "hatch-pre-build-hook" and str(target.relative_to(ROOT)) in HOOK_HEADERS_OF_HATCHD:
        return None
    return f"includes {target.relative_to(ROOT)}; {source_folder} may not depend on {target_folder}"


def check_outside(path, name):
    relative = str(path.relative_to(ROOT))
    for prefix, homes in HOMES.items():
        if name.startswith(prefix) and relative not in homes:
            return f"includes <{name}>, whose home is {', '.join(sorted(homes))}"
    return None


def main():
    wrong = []
    n_files = 0
    for path in sources():
        n_files += 1
        for own, outside in INCLUDE.findall(path.read_text()):
            complaint = check_own(path, own) if own else check_outside(path, outside)
            if complaint:
                wrong.append(f"{path.relative_to(ROOT)} {complaint}")
    if n_files == 0:
        wrong.append(f"no sources below {ROOT}")
    for line in wrong:
        print(f"FAIL dependencies_point_one_way: {line}")
    if not wrong:
        print("ok dependencies_point_one_way")
    return 1 if wrong else 0


sys.exit(main())
