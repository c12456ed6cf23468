{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.hello = {
      description = "Makes a small tree and tells where it was made";
      command = [ ./hello ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "hello-*" ];
      };
      args = {
        max = 1;
        match = [ "[A-Za-z ]+" ];
      };
      environment.set.PATH = lib.makeBinPath [ pkgs.coreutils ];
      limits = {
        time_sec = 60;
        output = "1M";
        output_entries = 10;
      };
    };
  };
}
