# What the module makes of the configuration file `conf`: the options it sets, and the files of /etc as texts.
{ conf }:
let
  lib = import ./lib.nix;
  stubs = import ./stubs.nix { inherit lib; };
  machine = lib.evalModules {
    specialArgs = { inherit (stubs) pkgs; };
    modules = [
      stubs.nixos
      ../../nixos/module.nix
      conf
    ];
  };
  inherit (machine) config;
in
{
  inherit (config)
    nix
    systemd
    users
    warnings
    ;
  inherit (config.environment) systemPackages;
  failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  etc = builtins.mapAttrs (_: file: file.source.text) config.environment.etc;
}
