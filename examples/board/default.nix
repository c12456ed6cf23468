# What a board answers to a self test. Only one build at a time gets the board; it is power-cycled before each.
(import ../../nixos/lib.nix { }).runHatch {
  builder = "board";
  name = "self-test-on-board";
  args = [ "self-test" ];
}
