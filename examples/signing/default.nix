# A program and its signature. A phase of an ordinary build asks for the latter, so that what was just made need not be in
# the store; the build sees neither the key nor who has it. With nixpkgs this is stdenv.mkDerivation (forStdenv "sign" { ... }).
let
  hatch = import ../../nixos/lib.nix { };
in
derivation (
  hatch.forStdenv "sign" {
    name = "app-1.0-signed";
    system = builtins.currentSystem;
    outputs = [
      "out"
      "signature"
    ];
    builder = "/bin/sh";
    args = [
      "-euc"
      ''
        echo "app 1.0" >"$out"
        /bin/hatch run --input program="$out" --output out="$signature" sign
      ''
    ];
  }
)
