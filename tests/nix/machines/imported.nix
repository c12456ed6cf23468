# The builders of examples/.
{
  imports = [
    ../../../examples/board/nixos.nix
    ../../../examples/fpga/nixos.nix
    ../../../examples/git/nixos.nix
    ../../../examples/hello/nixos.nix
    ../../../examples/image/nixos.nix
    ../../../examples/kvm/nixos.nix
    ../../../examples/signing/nixos.nix
  ];

  services.hatch.buildUsers.count = 2;
}
