{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.git = {
      description = "Fetches a commit of our private repositories";
      command = [ ./git-fetch ];
      allow.groups = [ "nixbld" ];
      args = {
        max = 2;
        match = [
          "git@git[.]example[.]com:firmware/[a-z0-9-]+"
          "[0-9a-f]{40}"
        ];
      };
      environment.set = {
        HOST_KEY = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleOfTheKeyOfAHostThatDoesNotExist";
        PATH = lib.makeBinPath [
          pkgs.coreutils
          pkgs.git
          pkgs.openssh
        ];
      };
      network = "host";
      credentials = [ "deploy-key" ];
      limits = {
        time_sec = 600;
        silence_sec = 120;
        output = "1G";
      };
    };
    credentials.deploy-key.path = "/etc/keys/deploy-key";
  };
}
