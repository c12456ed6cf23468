# What a board answers to a self test of new firmware. Only one build at a time gets the board; it is power-cycled before
# each.
let
  firmware = builtins.toFile "firmware" "stands for firmware\n";
in
(import ../../nixos/lib.nix { }).runHatch {
  builder = "board";
  name = "self-test-on-board";
  args = [ "self-test" ];
  inputs.firmware = firmware;
  # Not `impure = true`, which would ask the board anew for each build, with a feature of Nix that is experimental: what
  # this firmware has answered once holds until the firmware is another.
}
