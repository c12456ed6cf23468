# A build that asks twice, and an administrator who restarts the socket in between.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "meet" ''
        touch "/meeting/$1"
        until [ -e "/meeting/go-$1" ]; do sleep 0.1; done
        echo "$1" >"$out"
      '' { args.max = 1; })
    ];

    services.hatch.enable = true;

    environment.etc."hatch-test/twice.nix".text = ''
      derivation {
        name = "twice";
        system = builtins.currentSystem;
        builder = "/bin/sh";
        outputs = [ "first" "second" ];
        args = [ "-c" "/bin/hatch run -o out=$first meet first && /bin/hatch run -o out=$second meet second" ];
        requiredSystemFeatures = [ "hatch-meet" ];
      }
    '';
  };
}
