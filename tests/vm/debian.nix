# What stands for NixOS in a Debian tree, beside what is the same everywhere (tests/nix/machine.nix): Nix and sshd as NixOS
# has them.
{ config, lib, ... }:
let
  inherit (config.nix) buildMachines;
  list = values: if values == [ ] then "-" else lib.concatStringsSep "," values;
  # A line of nix.conf(5), "builders".
  buildMachine =
    machine:
    lib.concatStringsSep " " [
      "${machine.protocol}://${machine.sshUser}@${machine.hostName}"
      (list machine.systems)
      machine.sshKey
      (toString machine.maxJobs)
      "1"
      (list machine.supportedFeatures)
      "-"
      "-"
    ];
in
{
  nix.settings = {
    build-users-group = "nixbld";
    extra-sandbox-paths = [ "/bin/sh=/usr/bin/busybox" ];
  };
  # Debian lets only a group reach the daemon.
  systemd.tmpfiles.rules = [ "z /nix/var/nix/daemon-socket 0755 root root -" ];

  # Debian has it where udev is.
  users.groups.kvm = { };

  environment.etc = {
    "nix/machines" = lib.mkIf config.nix.distributedBuilds {
      text = lib.concatLines (map buildMachine buildMachines);
    };
    "ssh/ssh_config.d/nixos.conf" = lib.mkIf (config.programs.ssh.extraConfig != "") {
      text = config.programs.ssh.extraConfig;
    };
  };
  systemd.services.ssh = lib.mkIf config.services.openssh.enable { wantedBy = [ "multi-user.target" ]; };
}
