# Three build users, one of which is in another group too.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "who" ''
        touch "/meeting/$1"
        until [ -e /meeting/go ]; do sleep 0.1; done
        id >"$out"
      '' { args.max = 1; })
      (import ./derivation.nix "one" "who" ''args = [ "one" ];'')
      (import ./derivation.nix "two" "who" ''args = [ "two" ];'')
      (import ./derivation.nix "three" "who" ''args = [ "three" ];'')
    ];

    services.hatch = {
      enable = true;
      buildUsers = {
        count = 3;
        firstUid = 31000;
      };
    };

    users.groups.dongle.gid = 1234;
    users.users.hatchbld2.extraGroups = [ "dongle" ];
  };
}
