# A NixOS machine with services.hatch on which a sandboxed build gets its tree through the hatch. For those who have
# nixpkgs and KVM: nix flake check. `pkgs` holds the overlay of this project.
{ pkgs }:
pkgs.testers.runNixOSTest {
  name = "hatch";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ../../nixos/module.nix ];

      services.hatch = {
        enable = true;
        builders.greet = {
          description = "Leaves a greeting and the name of the account it ran under";
          command = [
            (pkgs.writeShellScript "hatch-greet" ''
              echo "running outside of the sandbox"
              mkdir -p "$out"
              echo "hello $1" >"$out/greeting"
              id -un >"$out/user"
              echo "$out" >"$out/self"
            '')
          ];
          allow.groups = [ "nixbld" ];
          args.max = 1;
          limits.time_sec = 60;
        };
      };

      nix.settings.substituters = [ ];
      environment.etc = {
        "hatch-test/lib.nix".source = ../../nixos/lib.nix;
        "hatch-test/greeting.nix".text = ''
          (import /etc/hatch-test/lib.nix { }).runHatch {
            builder = "greet";
            name = "greeting";
            args = [ "a 'quoted' world" ];
          }
        '';
      };
    };

  testScript = ''
    machine.wait_for_unit("sockets.target")
    machine.succeed("hatchd --check")

    with subtest("a sandboxed build gets its tree through the hatch"):
        path = machine.succeed("nix-build --no-out-link /etc/hatch-test/greeting.nix").strip()
        assert machine.succeed(f"cat {path}/greeting") == "hello a 'quoted' world\n"
        assert machine.succeed(f"cat {path}/self") == f"{path}\n"

    with subtest("the builder ran as a build user"):
        assert machine.succeed(f"cat {path}/user").startswith("hatchbld")

    with subtest("the output refers to itself"):
        assert path in machine.succeed(f"nix-store --query --references {path}")

    with subtest("the journal knows the derivation"):
        machine.succeed("journalctl HATCH_BUILDER=greet HATCH_EXIT=0 HATCH_DELIVERED=yes | grep -- -greeting.drv")

    with subtest("only root sees the socket's directory"):
        machine.succeed("test $(stat -c %a:%U /run/hatch) = 700:root")
        machine.fail("runuser -u nobody -- hatch ping")

    with subtest("nothing is left behind"):
        machine.succeed("test -z \"$(ls -A /var/lib/hatch/scratch)\"")
        machine.fail("systemctl --failed --no-legend | grep hatchd")
  '';
}
