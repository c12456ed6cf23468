# A machine with the builder "synth", which other machines may send builds to, by `name`. The builder tells that name.
name: {
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

  services.hatch.enable = true;

  services.openssh.enable = true;
  users.users.sender.isNormalUser = true;
  users.users.trusted.isNormalUser = true;
  nix.settings.trusted-users = [
    "root"
    "trusted"
  ];
  # The keys are made when the machines are on: let_send in common.py.
  nix.extraOptions = "!include /etc/hatch-keys/nix.conf\n";
}
