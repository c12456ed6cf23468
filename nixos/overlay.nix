# Not "hatch": that name is taken in nixpkgs by a tool for Python projects.
final: _prev: {
  hatchd = final.callPackage ./package.nix { };
  # What sandboxes and images of containers are shown, and the hook of Nix that shows it.
  hatch-client = final.pkgsStatic.callPackage ./package.nix { withServer = false; };
  hatchLib = import ./lib.nix { inherit (final.stdenv.buildPlatform) system; };
  inherit (final.hatchLib) runHatch makeEscapeHatchRunner;
}
