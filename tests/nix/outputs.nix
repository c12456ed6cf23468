# What the flake offers, with the stubs in place of nixpkgs: as far as that, everything in it is evaluated.
let
  lib = import ./lib.nix;
  stubs = import ./stubs.nix { inherit lib; };

  # `import nixpkgs { ... }` in the flake: a set that can be called, and whose overlays are applied.
  nixpkgs = {
    inherit lib;
    outPath = ./nixpkgs.nix;
  };
  flake = (import ../../flake.nix).outputs {
    inherit nixpkgs;
    self = flake;
  };

  tests = import ../vm/nixos { inherit (stubs) pkgs; };
  node = module: { inherit (import ./machine.nix { conf = module; }) failed files; };
  module = lib.evalModules {
    specialArgs = { inherit (stubs) pkgs; };
    modules = [
      stubs.nixos
      flake.nixosModules.default
      { services.hatch.enable = true; }
    ];
  };
  compat = lib.evalModules {
    specialArgs = { inherit (stubs) pkgs; };
    modules = [
      stubs.nixos
      flake.nixosModules.compat
      {
        services.nix-sandbox-escape-hatch = {
          enable = true;
          builders.old.builder = "/bin/old";
        };
      }
    ];
  };
in
{
  names = builtins.attrNames flake;
  packages = builtins.mapAttrs (_: builtins.mapAttrs (_: package: package.name)) flake.packages;
  version = flake.packages.x86_64-linux.default.version;
  formatter = flake.formatter.x86_64-linux.name;
  shell = flake.devShells.x86_64-linux.default.name;
  functions = builtins.attrNames flake.lib;
  derivation = (flake.lib.runHatch { builder = "b"; name = "n"; system = "s"; }).system;
  overlaid =
    let
      pkgs = stubs.nixpkgs {
        overlays = [ flake.overlays.default ];
        system = "s";
      };
      request = {
        builder = "b";
        name = "n";
      };
    in
    map (derivation: derivation.system) [
      (pkgs.runHatch request)
      (pkgs.hatchLib.runHatch request)
      (pkgs.makeEscapeHatchRunner "b" { } "n" [ ])
    ];
  old = builtins.attrNames compat.config.services.hatch.builders;
  sockets = module.config.systemd.sockets;
  checks = builtins.attrNames flake.checks.x86_64-linux;
  tests = builtins.mapAttrs (_: test: {
    inherit (test) name testScript;
    nodes = builtins.mapAttrs (_: node) test.nodes;
  }) tests;
}
