# A machine without builders, which sends what requires the feature of "synth" to `hosts`, as `sshUser`.
sshUser: hosts:
{ pkgs, ... }:
{
  imports = [ ./common.nix ];

  nix.distributedBuilds = true;
  nix.buildMachines = map (hostName: {
    inherit hostName sshUser;
    protocol = "ssh-ng";
    sshKey = "/root/.ssh/id_ed25519";
    systems = [ pkgs.stdenv.hostPlatform.system ];
    maxJobs = 1;
    supportedFeatures = [ "hatch-synth" ];
  }) hosts;

  programs.ssh.extraConfig = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n";
}
