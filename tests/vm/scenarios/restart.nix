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
        args = [
          "-c"
          "mkdir $out && /bin/hatch run -o out=$out/first meet first && /bin/hatch run -o out=$out/second meet second"
        ];
        requiredSystemFeatures = [ "hatch-meet" ];
        # Of the shell of Nix' sandbox.
        PATH = "/bin";
      }
    '';
  };
}
