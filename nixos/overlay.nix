# Not "hatch": that name is taken in nixpkgs by a tool for Python projects.
final: _prev: {
  hatchd = final.callPackage ./package.nix { };
  # What sandboxes and images of containers are shown.
  hatch-client = final.pkgsStatic.callPackage ./package.nix { withServer = false; };
  runHatch = args: import ./run-hatch.nix ({ inherit (final.stdenv.hostPlatform) system; } // args);
}
