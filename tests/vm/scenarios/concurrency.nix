# Two seats of a licence, and three builds that need one each.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "synth" ''
        touch "/meeting/$1"
        until [ -e /meeting/go ]; do sleep 0.1; done
        rm "/meeting/$1"
        echo "done" >"$out"
      '' {
        args.max = 1;
        resources.seat = 1;
      })
      (import ./derivation.nix "one" "synth" ''args = [ "one" ];'')
      (import ./derivation.nix "two" "synth" ''args = [ "two" ];'')
      (import ./derivation.nix "three" "synth" ''args = [ "three" ];'')
    ];

    services.hatch = {
      enable = true;
      settings.resources.seat = 2;
    };
  };
}
