# A machine on which every sandboxed build sees the hatch: as with Lix, which does not do what a pre-build hook says.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "greet" ''echo "hello" >"$out"'' { })
      (import ./derivation.nix "greeting" "greet" "")
      (import ./looking.nix "looking" "")
      (import ./looking.nix "later" "")
      (import ./plain.nix "thief" ''
        builder = "/bin/hatch";
        args = [ "run" "greet" ];
      '')
    ];

    services.hatch = {
      enable = true;
      expose = "always";
    };
  };
}
