# A machine without builders, and two hosts with the same one, to which it sends what requires their feature. Nix sends a
# derivation itself only to users whom the other side does not trust; so the account is an ordinary one, and what the
# hosts build is signed. `strict` and `lenient` differ in what they do with builds whose derivation they do not have.
let
  host = name: missingDerivation: {
    imports = [
      ./common.nix
      (import ./script.nix "synth" ''
        touch "/meeting/$1"
        until [ -e /meeting/go ]; do sleep 0.1; done
        rm "/meeting/$1"
        shift
        echo "$*" >"$out"
        echo "$HOST" >>"$out"
      '' {
        args.max = 4;
        environment.set.HOST = name;
      })
    ];

    services.hatch = {
      enable = true;
      hook = { inherit missingDerivation; };
    };

    services.openssh.enable = true;
    users.users.sender.isNormalUser = true;
    users.users.trusted.isNormalUser = true;
    nix.settings.trusted-users = [
      "root"
      "trusted"
    ];
    # The keys are made when the machines are on.
    nix.extraOptions = "!include /etc/hatch-keys/nix.conf\n";
  };

  machineOf =
    hostName:
    { pkgs, ... }:
    {
      nix.buildMachines = [
        {
          inherit hostName;
          protocol = "ssh-ng";
          sshUser = "sender";
          sshKey = "/root/.ssh/id_ed25519";
          systems = [ pkgs.stdenv.hostPlatform.system ];
          maxJobs = 1;
          supportedFeatures = [ "hatch-synth" ];
        }
      ];
    };
in
{
  front =
    { lib, ... }:
    {
      imports = [
        ./common.nix
        (machineOf "strict")
        (machineOf "lenient")
        (import ./derivation.nix "one" "synth" ''args = [ "one" "alone" ];'')
        (import ./derivation.nix "two" "synth" ''args = [ "two" "of a trusted user" ];'')
        {
          environment.etc."hatch-test/diamond.nix".text = ''
            let
              inherit (import /etc/hatch-test/lib.nix { }) runHatch;
              step = name: inputs: runHatch { builder = "synth"; inherit name; args = [ name ] ++ inputs; };
              top = step "top" [ "from nothing" ];
              left = step "left" [ top ];
              right = step "right" [ top ];
            in
            step "bottom" [ left right ]
          '';
        }
      ];

      nix.distributedBuilds = true;
      programs.ssh.extraConfig = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n";
    };

  strict = host "strict" "hide";
  lenient = host "lenient" "expose";
}
