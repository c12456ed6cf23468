# An image with files of root and of others: what a build that is one user cannot make.
(import ../../nixos/lib.nix { }).runHatch {
  builder = "image";
  name = "web-image";
  args = [ "web" ];
  inputs.site = ./site;
}
