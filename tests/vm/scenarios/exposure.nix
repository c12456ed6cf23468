# Two builders, and builds that ask for one of them, for none, and for one that this machine does not have.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "greet" ''echo "hello" >"$out"'' { })
      (import ./script.nix "sign" ''echo "signed" >"$out"'' { })
      (import ./derivation.nix "greeting" "greet" "")
      (import ./plain.nix "thief" ''
        builder = "/bin/hatch";
        args = [ "run" "sign" ];
        requiredSystemFeatures = [ "hatch-greet" ];
      '')
      (import ./looking.nix "blind" "")
      (import ./looking.nix "asking" ''requiredSystemFeatures = [ "hatch-greet" ];'')
      (import ./looking.nix "other" ''requiredSystemFeatures = [ "hatch-missing" ];'')
    ];

    services.hatch.enable = true;
  };
}
