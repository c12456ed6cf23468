# Does a kernel boot? The sandbox has no /dev/kvm; the builder has that one device and nothing else.
let
  kernel = builtins.toFile "kernel" "stands for a kernel\n";
in
import ../../nixos/run-hatch.nix {
  builder = "kvm";
  name = "kernel-boots";
  args = [ kernel ];
}
