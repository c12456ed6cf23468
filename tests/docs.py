#!/usr/bin/env python3
"""What the documents repeat of the code: journal fields, options, the map of the tree, links between files."""

import errno
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
MAN = ROOT / "docs/man"


def text(name):
    return (ROOT / name).read_text()


def check_same(what, documented, real):
    missing, extra = sorted(real - documented), sorted(documented - real)
    assert real, f"nothing found in the code: {what}"
    assert not missing and not extra, f"{what}: not documented {missing}, documented but not there {extra}"


def test_manual_lists_the_journal_fields():
    real = set(re.findall(r'"(HATCH_\w+)=', text("hatchd/monitor/receipt.c")))
    page = text("docs/man/hatchd.8").split(".Sh JOURNAL")[1].split(".Sh EXAMPLES")[0]
    check_same("fields", set(re.findall(r"HATCH_\w+", page)), real)


def test_manual_lists_the_phases_of_a_request():
    table = text("hatchd/monitor/monitor.c").split("request_phases[] = {")[1].split("};")[0]
    real = re.findall(r'\{ "(\w+)"', table)
    page = text("docs/man/hatchd.8").split(".Ss Life of a request")[1].split(".El")[0]
    assert re.findall(r"^\.It Cm (\w+)$", page, re.MULTILINE) == ["request", *real], (page, real)


def test_hatchctl_knows_which_journal_fields_are_numbers():
    source = text("hatchd/monitor/receipt.c")
    real = set(re.findall(r'"(HATCH_\w+)=%(?:l*u|d)"', source))
    table = text("hatchctl/journal.c").split("numbers[] = {")[1].split("};")[0]
    check_same("numbers", set(re.findall(r"HATCH_\w+", table)), real)


def test_manuals_list_the_options():
    for program, source, page in (("hatchd", "hatchd/main.c", "hatchd.8"), ("hatch", "hatch-client/options.c", "hatch.1"),
                                  ("hatchctl", "hatchctl/main.c", "hatchctl.1"),
                                  ("hatch-pre-build-hook", "hatch-pre-build-hook/main.c", "hatch-pre-build-hook.8")):
        real = set(re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument', text(source)))
        check_same(program, set(re.findall(r"Fl (?:Fl |-)([a-z][a-z-]*)", text(f"docs/man/{page}"))), real)


def test_manual_lists_the_environment_of_a_builder():
    source = text("hatchd/sandbox/environment.c")
    table = source.split("} defaults[] = {")[1].split("};")[0]
    real = set(re.findall(r'\{ "(\w+)",', table))
    page = text("docs/man/hatch-builder.5")
    missing = {name for name in real if not re.search(rf"\b{name}\b", page)}
    assert real and not missing, f"hatch-builder(5) lacks {sorted(missing)}"


def keys_read_by(pattern):
    """What the tables of configuration name, in the files that match."""
    tables = [table for file in sorted(ROOT.glob(pattern))
              for table in re.findall(r"struct member \w+\[\] = \{(.*?)\n\};", file.read_text(), re.DOTALL)]
    return {key for table in tables for key in re.findall(r'\{ "(\w+)",', table)}


def test_manuals_have_an_example_of_each_key():
    of_service = keys_read_by("hatchd/config/config.c")
    of_bundle = keys_read_by("hatchd/config/bundle.c")
    of_hook = keys_read_by("hatchd/config/exposure.c")
    files = "hatchd/config/[!bce]*.c", "hatchd/config/builder.c", "hatchd/config/credentials.c", "hatchd/config/environment.c"
    of_builder = set().union(*map(keys_read_by, files))
    assert {"command", "memory", "lower"} <= of_builder and "store" in of_service and "mounts" in of_bundle and "chain" in of_hook, of_builder
    for page, keys in (("hatch-builder.5", of_builder), ("hatchd.json.5", of_service), ("hatch-pre-build-hook.8", of_hook)):
        shown = set(re.findall(r'(?:\\\(dq|")(\w+)(?:\\\(dq|"): *\S', text(f"docs/man/{page}")))
        assert not keys - shown, f"{page} has no example of {sorted(keys - shown)}"


def test_each_key_is_said_what_it_opens():
    def rows(file, name):
        table = re.search(rf"struct member {name}\[\] = \{{(.*?)\n\}};", text(f"hatchd/config/{file}"), re.DOTALL)[1]
        return set(re.findall(r'\{ "(\w+)",', table))
    real = rows("builder.c", "builder_members") | {f"view.{key}" for key in rows("view.c", "view_members")}
    page = text("docs/security.md").split("## What each key opens")[1].split("\n## ")[0]
    documented = set(re.findall(r"`([\w.]+)`", " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))))
    check_same("keys", documented, real - {"description", "command", "view"})


def test_readme_and_manuals_use_options_that_hatchctl_has():
    real = set(re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument', text("hatchctl/main.c")))
    for file in ("README.md", "docs/migration.md", "docs/man/hatchctl.1", "docs/man/hatchd.8", "docs/man/hatch-builder.5"):
        lines = re.findall(r"^(?:[#$] )?hatchctl .*(?:\\e\n.*)*", text(file), re.MULTILINE)
        used = {option for line in lines for option in re.findall(r" --([a-z]+)", line.split(" # ")[0])}
        assert used <= real, f"{file} uses {sorted(used - real)}"


def test_manual_lists_what_explain_prints_for_programs():
    real = set(re.findall(r'(?:json_\w+|write_limit|write_words)\(json, "(\w+)"', text("hatchctl/sheet.c")))
    page = text("docs/man/hatchctl.1").split(".It Cm explain\nThe texts")[1].split(".Sh FILES")[0]
    missing = {name for name in real if not re.search(rf"\b{name}\b", page)}
    assert len(real) > 40 and not missing, f"hatchctl(1) lacks {sorted(missing)}"


def test_verdicts_are_the_same_everywhere():
    real = set(re.findall(r'"([a-z-]+)"', text("hatchctl/history.c").split("verdicts[] = {")[1].split("};")[0]))
    page = text("docs/man/hatchd.8").split("It Li HATCH_VERDICT")[1].split(".It Li")[0]
    documented = set(re.findall(r"\b[a-z][a-z-]+\b", " ".join(re.findall(r"^\.Li (.*)$", page, re.MULTILINE))))
    check_same("verdicts", documented, real)
    for shell in ("_hatchctl", "hatchctl.bash", "hatchctl.fish"):
        words = re.search(r"done failed [a-z -]+", text(f"hatchctl/completions/{shell}"))[0].split()
        check_same(f"verdicts in {shell}", set(words), real)


def table_cells(section, column):
    """The texts in backticks of one column of the tables in a section of docs/nix.md."""
    rows = [re.split(r"(?<!\\)\|", line) for line in section.splitlines() if line.startswith("|")]
    cells = [row[column] for row in rows if not row[column].strip().startswith("---")]
    return [a or b for cell in cells for a, b in re.findall(r"`` ?(.*?) ?``|`([^`]+)`", cell)]


def test_messages_in_the_nix_document_are_those_of_the_code():
    files = [*ROOT.glob("hatchd/**/*.c"), *ROOT.glob("hatch-client/*.c"), *ROOT.glob("lib/**/*.c")]
    # Literals that stand beside each other are one; a conversion stands for any text.
    code = " ".join(re.sub(r'"\s*\n\s*"', "", file.read_text()) for file in files).replace('\\"', '"')
    code = re.sub(r"%[-.*0-9]*(?:zu|[a-z])", "\0", code)
    page = text("docs/nix.md")
    messages = page.split("## Messages")[1].split("What Nix says")[0]
    shown = table_cells(messages, 1)
    told = [cell for cell in table_cells(page.split("## A hostile derivation")[1].split("\n## ")[0], 3)]
    told = [cell for cell in told if cell not in {os.strerror(number) for number in errno.errorcode}]
    told += re.findall(r"`(the caller's [^`]+)`", page)
    assert len(shown) > 10 and told, "the tables are not found"
    for message in shown + told:
        for part in message.split("…"):
            assert part.strip() in code, f"nothing says {part.strip()!r}"


def test_migration_names_what_the_compatibility_module_does():
    module, page = text("nixos/compat.nix"), text("docs/migration.md")
    directives = page.split("## extraServiceConfig")[1].split("\n## ")[0]
    check_same("directives", set(table_cells(directives, 1)),
               set(re.findall(r"^  (\w+) =", text("nixos/service-config.nix").split("\nin\n{")[1], re.MULTILINE)))
    options = re.findall(r"^            (\w+) = mkOption", module, re.MULTILINE)
    check_same("options", {cell for cell in table_cells(page.split("## Options")[1].split("\n## ")[0], 1) if cell.isalpha() and cell != "NAME"},
               set(options))


def test_json_of_documents_is_json():
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for block in re.findall(r"^```json\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            try:
                json.loads(block)
            except ValueError as error:
                raise AssertionError(f"{file.name}: {error}: {block[:80]}") from None


def test_tables_of_documents_are_whole():
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for block in re.split(r"\n\s*\n", file.read_text()):
            rows = [line.strip().startswith("|") for line in block.strip().splitlines()]
            assert all(rows) or not any(rows) or "```" in block, f"{file.name}: a row stands outside of its table: {block[:80]}"


def test_architecture_shows_the_table_of_layers():
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests/layers.py")
    source = spec.loader.get_source("layers").split("\nINCLUDE = ")[0]
    space = {"__name__": "layers"}
    exec(compile(source.replace("sys.argv[1] if len(sys.argv) > 1 else", ""), "layers.py", "exec"), space)
    table = text("docs/architecture.md").split("## Modules")[1].split("| where |")[0]
    rows = dict(re.findall(r"^\| `([\w/-]+)` \| (.*?) \|$", table, re.MULTILINE))
    for folder, allowed in space["MAY_INCLUDE"].items():
        others = {a.removeprefix("lib/") for a in allowed - {folder}}
        cell = rows[folder].split(" | ")[0].split(";")[0]
        assert set(re.findall(r"`([^`]+)`", cell)) == others, f"{folder}: {cell} and {others}"
        homes = {h.removeprefix(folder + "/") for hs in space["HOMES"].values() for h in hs if h.startswith(folder + "/")}
        shown = set(re.findall(r"`([^`]+)`", rows[folder].split(" | ")[1]))
        assert shown == homes, f"{folder}: {shown} and {homes}"
    assert space["HATCHCTL_OF_HATCHD"] == set(re.findall(r"`([^`]+/)`", rows["hatchctl"])), "hatchctl of hatchd"


def test_links_between_documents_lead_somewhere():
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: no {target}"
        for code in re.findall(r"`((?:lib|hatchd|hatch-client|hatch-pre-build-hook|hatchctl|units|nixos|tests|examples|docs)/[\w/.-]+)`",
                               file.read_text()):
            assert (ROOT / code).exists(), f"{file.name}: no {code}"


def test_readme_shows_the_example_as_it_is():
    readme = text("README.md")
    assert re.sub(r"^#.*\n", "", text("examples/hello/default.nix")) in readme, "default.nix"
    assert text("examples/hello/hello.json") in readme, "hello.json"
    assert text("examples/fpga/fpga.json") in readme, "fpga.json"


def test_manual_pages_are_clean():
    if not shutil.which("mandoc"):
        return "there is no mandoc"
    for page in sorted(MAN.iterdir()):
        said = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True).stdout
        # A page that is not installed yet is no mistake of the one that names it.
        lines = [line for line in said.splitlines() if "referenced manual not found" not in line]
        assert not lines, "; ".join(lines)
        # A quotation that runs to the end of its line, over those behind it.
        shown = subprocess.run(["mandoc", "-T", "utf8", page], capture_output=True, text=True).stdout
        assert "””" not in shown, f"{page.name} nests quotations"
    return None


failed = 0
for name, function in list(globals().items()):
    if not name.startswith("test_"):
        continue
    name = name.removeprefix("test_")
    try:
        why = function()
        print(f"SKIP {name}: {why}" if why else f"ok {name}")
    except AssertionError as error:
        failed += 1
        print(f"FAIL {name}: {error}")
sys.exit(failed > 0)
