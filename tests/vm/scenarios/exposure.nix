# Two builders, and builds that ask for one of them, for none, and for one that this machine does not have.
let
  look = "echo $(test -e /bin/hatch && echo client) $(test -S /run/hatch/hatch.sock && echo socket) >$out";
  derivation = name: attributes: {
    environment.etc."hatch-test/${name}.nix".text = ''
      derivation {
        name = "${name}";
        system = builtins.currentSystem;
        ${attributes}
      }
    '';
  };
  looking = name: attributes: derivation name ''builder = "/bin/sh"; args = [ "-c" "${look}" ]; ${attributes}'';
in
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "greet" ''echo "hello" >"$out"'' { })
      (import ./script.nix "sign" ''echo "signed" >"$out"'' { })
      (import ./derivation.nix "greeting" "greet" "")
      # The feature of one builder, a request to the other.
      (derivation "thief" ''builder = "/bin/hatch"; args = [ "run" "sign" ]; requiredSystemFeatures = [ "hatch-greet" ];'')
      (looking "plain" "")
      (looking "asking" ''requiredSystemFeatures = [ "hatch-greet" ];'')
      (looking "other" ''requiredSystemFeatures = [ "hatch-missing" ];'')
    ];

    services.hatch.enable = true;
  };
}
