# What the flake offers, with a whole nixpkgs where NIX_PATH has one, else with the stubs in its place; each of it can be
# evaluated by itself.
let
  lib = import ./lib.nix;
  stubs = import ./stubs.nix { inherit lib; };
  isWhole = (builtins.tryEval <nixpkgs/nixos>).success;

  # `import nixpkgs { ... }` in the flake: a set that can be called, and whose overlays are applied.
  nixpkgs = {
    inherit lib;
    outPath = if isWhole then toString <nixpkgs> else ./nixpkgs.nix;
  };
  flake = (import ../../flake.nix).outputs {
    inherit nixpkgs;
    self = flake;
  };

  # A machine of which only the flake's modules know.
  machine =
    modules:
    if isWhole then
      import <nixpkgs/nixos/lib/eval-config.nix> {
        system = null;
        modules = modules ++ [ { nixpkgs.hostPlatform = "x86_64-linux"; } ];
      }
    else
      lib.evalModules {
        specialArgs = { inherit (stubs) pkgs; };
        modules = modules ++ [ stubs.nixos ];
      };
  module = machine [
    flake.nixosModules.default
    { services.hatch.enable = true; }
  ];
  compat = machine [
    flake.nixosModules.compat
    {
      services.nix-sandbox-escape-hatch = {
        enable = true;
        builders.old.builder = "/bin/old";
      };
    }
  ];

  # --- what can be built: as far as its derivation, which a stub has none of ---

  placeOf = output: output.drvPath or output.outPath;
  inFolder =
    folder: outputs:
    lib.mapAttrsToList (name: output: lib.nameValuePair "${folder}.${name}" (placeOf output)) outputs;
  inFolders =
    folder: systems:
    lib.concatLists (lib.mapAttrsToList (system: inFolder "${folder}.${system}") systems);

  # --- machines of tests: of one system, which is all the same to them ---

  isMachine = name: _: lib.hasPrefix "machine-" name;
  tests = lib.mapAttrs' (name: test: {
    name = lib.removePrefix "machine-" name;
    value = {
      place = placeOf test;
    }
    // (if isWhole then whatNixosMakes test else whatStubsMake test);
  }) (lib.filterAttrs isMachine flake.checks.x86_64-linux);
  whatNixosMakes = test: {
    script = test.config.testScriptString;
    nodes = lib.mapAttrs (_: node: {
      failed = map (a: a.message) (lib.filter (a: !a.assertion) node.assertions);
      nixConf = node.environment.etc."nix/nix.conf".source.text;
    }) test.nodes;
  };
  whatStubsMake = test: {
    script = test.testScript;
    nodes = lib.mapAttrs (
      _: conf:
      let
        node = import ./machine.nix { inherit conf; };
      in
      {
        inherit (node) failed;
        nixConf = node.files."etc/nix/nix.conf".text;
      }
    ) test.nodes;
  };
in
{
  inherit isWhole tests;
  names = builtins.attrNames flake;
  packages = lib.mapAttrs (_: lib.mapAttrs (_: package: package.pname)) flake.packages;
  version = flake.packages.x86_64-linux.default.version;
  checks = builtins.attrNames flake.checks.x86_64-linux;
  places = lib.listToAttrs (
    inFolder "formatter" flake.formatter
    ++ lib.concatLists (
      lib.mapAttrsToList inFolders {
        inherit (flake) packages devShells;
        checks = lib.mapAttrs (_: lib.filterAttrs (name: test: !isMachine name test)) flake.checks;
      }
    )
  );
  functions = builtins.attrNames flake.lib;
  derivation =
    (flake.lib.runHatch {
      builder = "b";
      name = "n";
      system = "s";
    }).system;
  overlaid =
    let
      pkgs = import nixpkgs {
        overlays = [ flake.overlays.default ];
        system = "aarch64-linux";
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
  wantedBy = module.config.systemd.sockets.hatchd.wantedBy;
}
