# Stands for nixpkgs where the flake imports it.
(import ./stubs.nix { lib = import ./lib.nix; }).nixpkgs
