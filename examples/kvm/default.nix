# Does a kernel boot? The sandbox has no /dev/kvm; the builder has that one device and nothing else.
let
  kernel = builtins.toFile "kernel" "stands for a kernel\n";
  # An initial file system whose /init prints "boot-test: passed" and powers off.
  initrd = builtins.toFile "initrd" "stands for an initial file system\n";
in
(import ../../nixos/lib.nix { }).runHatch {
  builder = "kvm";
  name = "kernel-boots";
  args = [
    kernel
    initrd
  ];
}
