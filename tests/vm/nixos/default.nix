# The scenarios on machines with NixOS, by name. For those who have nixpkgs and KVM: nix flake check. `pkgs` holds the
# overlay of this project. The same descriptions run on Debian: run-scenarios.
{ pkgs }:
let
  scenarios = ../scenarios;
  read = name: builtins.readFile (scenarios + "/${name}.py");
  test =
    name:
    pkgs.testers.runNixOSTest {
      name = "hatch-${name}";
      # The machines build.
      defaults.virtualisation.writableStore = true;
      nodes = import (scenarios + "/${name}.nix");
      testScript = read "common" + "\n\n" + read name;
    };
  nameOf = builtins.match "(.*)\\.py";
  names = builtins.concatMap nameOf (
    builtins.filter (file: nameOf file != null && file != "common.py") (builtins.attrNames (builtins.readDir scenarios))
  );
in
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = test name;
  }) names
)
