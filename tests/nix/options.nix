# The options of the module as nixpkgs lists them for a manual: those that are not internal.
let
  lib = import ./lib.nix;
  stubs = import ./stubs.nix { inherit lib; };
  machine = lib.evalModules {
    specialArgs = { inherit (stubs) pkgs; };
    modules = [
      stubs.nixos
      ../../nixos/module.nix
    ];
  };
in
builtins.filter (option: option.visible && !option.internal) (
  lib.optionAttrSetToDocList machine.options.services.hatch
)
