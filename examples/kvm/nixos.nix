{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.kvm = {
      description = "Boots a kernel in a virtual machine with hardware acceleration";
      command = [ ./boot-test ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "*-boots" ];
      };
      args = {
        max = 2;
        match = [ "/nix/store/[A-Za-z0-9._+?=-]+" ];
      };
      environment.set.PATH = lib.makeBinPath [
        pkgs.coreutils
        pkgs.gnugrep
        pkgs.qemu_kvm
      ];
      groups = [ "kvm" ];
      view = {
        devices = [ "/dev/kvm" ];
        tmpfs = [
          {
            at = "/run/vm";
            size = "64M";
          }
        ];
      };
      limits = {
        time_sec = 300;
        silence_sec = 60;
        memory = "4G";
        swap = 0;
        cpus = 2;
        output = "16M";
      };
    };
  };
}
