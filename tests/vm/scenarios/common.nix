# What the machines of all scenarios have, on NixOS and on Debian: a user who builds, and no network to substitute from.
{ lib, ... }:
{
  imports = [ ../../../nixos/module.nix ];

  users.users.alice.isNormalUser = true;

  nix.settings = {
    substituters = lib.mkForce [ ];
    max-jobs = 8;
  };

  systemd.tmpfiles.rules = [ "d /var/lib/meeting 1777 root root -" ];

  environment.etc."hatch-test/lib.nix".source = ../../../nixos/lib.nix;
}
