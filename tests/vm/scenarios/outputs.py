machine.start()
machine.wait_for_unit("sockets.target")
out, reports = machine.succeed(nix_build("bitstream", "-A out -A reports")).split()

with subtest("each output has its own tree"):
    assert reports.endswith("-bitstream-reports"), reports
    assert machine.succeed(f"cat {out}/top.bit") == "bits\n"
    assert machine.succeed(f"cat {reports}/timing") == f"of {out}\n"

with subtest("an output refers to the other"):
    assert machine.succeed(f"nix-store --query --references {reports}").split() == [out]
    assert machine.succeed(f"nix-store --query --references {out}") == ""

with subtest("one request made both"):
    assert len(journal(machine, "HATCH_BUILDER=synth", "HATCH_EXIT=0")) == 1
