{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.image = {
      description = "Makes an image whose files belong to many users";
      command = [ ./make-image ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "*-image" ];
      };
      args = {
        max = 1;
        match = [ "[a-z0-9-]+" ];
      };
      inputs = true;
      environment.set.PATH = lib.makeBinPath [
        pkgs.coreutils
        pkgs.gnutar
        pkgs.pkgsStatic.busybox
      ];
      uid_map = "range";
      limits = {
        time_sec = 600;
        input = "256M";
        output = "1G";
      };
    };
    settings.range_base = 1879048192;
  };
}
