# A signature over a file. The build sees neither the key nor who has it.
let
  release = builtins.toFile "release" "hatch 1.0\n";
in
(import ../../nixos/lib.nix { }).runHatch {
  builder = "sign";
  name = "release-signature";
  args = [ (builtins.hashFile "sha256" release) ];
}
