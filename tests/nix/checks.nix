# What must be built before a machine with `conf`, as derivations that Nix can build where the programs of the stubs are in
# /usr and builds see them. `hatchd` is the directory of that package.
{ conf, hatchd }:
let
  stubs = import ./stubs.nix {
    lib = import ./lib.nix;
    packages = {
      hatchd.outPath = hatchd;
      writeText = builtins.toFile;
      runCommand =
        name: attributes: script:
        derivation (
          attributes
          // {
            inherit name;
            system = builtins.currentSystem;
            builder = "/bin/sh";
            args = [
              "-euc"
              # As in stdenv the shell outlives the last command: Nix kills a builder that has closed its log but is still
              # there, and coreutils close it before they exit.
              (script + "\nexit 0\n")
            ];
            PATH = "/usr/bin";
          }
        );
    };
  };
in
(stubs.evaluate [ conf ]).config.system.checks
